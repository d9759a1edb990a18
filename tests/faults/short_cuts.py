"""Which part of each scenario `make test` runs: enough to see that it runs, and what it finds without protection."""

from pathlib import Path
from typing import NamedTuple

from tests.faults.rig.figure import Figure, Trial
from tests.faults.scenarios import SCENARIOS

_SEED = 1


class _ShortCut(NamedTuple):
    """How much of it is run, with and without protection, and which of its figures then miss.

    What is `timed` is not for a machine that runs other tests beside it.
    """

    scale: float
    unprotected: float
    missed: set[int]
    timed: frozenset[int] = frozenset()


SHORT_CUTS = {
    "kills": _ShortCut(0.01, 0.01, {0}),
    "cuts": _ShortCut(0.01, 0.01, {1}),
    "stopped": _ShortCut(0.01, 0.01, {0, 1}),
    "rolling": _ShortCut(0.04, 0.02, {0}),
    "history": _ShortCut(0.02, 0.02, {0}),
    "tallies": _ShortCut(0.02, 0.01, {0}),
    "starts": _ShortCut(0.01, 0.01, {0}),
    "fuzz": _ShortCut(0.008, 0.001, {0}),
    "cancellations": _ShortCut(0.005, 0.03, {0, 1, 2}),
    "deadlines": _ShortCut(0.05, 0.004, {0}),
    "streams": _ShortCut(0.02, 0.02, {0, 1, 2}),
    "hostile": _ShortCut(0.05, 0.1, {1, 3, 4, 8}),
    "pool": _ShortCut(0.1, 0.1, {0}),
    "keys": _ShortCut(0.1, 0.1, {0}),
    "revoked": _ShortCut(0.1, 0.1, {0}),
    "secrets": _ShortCut(0.05, 0.01, {0}, frozenset({2})),
}


TIMED = ("stopped", "deadlines", "pool")
"""What has the machine for itself, because it has times to keep; a machine may be slow for a moment all the same."""

_ATTEMPTS = 3


async def check_kept(name: str, place: Path) -> str:
    """Demands that every figure is as promised, where it is timed in one of a few attempts; returns the figures."""
    short_cut = SHORT_CUTS[name]
    trial = Trial(seed=_SEED, place=place, scale=short_cut.scale)
    for _ in range(_ATTEMPTS if name in TIMED else 1):
        figures = await SCENARIOS[name](trial)
        missed = [figure for number, figure in enumerate(figures) if not figure.ok and number not in short_cut.timed]
        if not missed:
            break
    assert missed == [], missed
    return _told(figures)


async def check_missed_without_protection(name: str, place: Path) -> str:
    """Demands that the figures which tell of the protection miss; returns what was measured."""
    short_cut = SHORT_CUTS[name]
    trial = Trial(seed=_SEED, place=place, scale=short_cut.unprotected, protected=False)
    figures = await SCENARIOS[name](trial)
    assert {number for number, figure in enumerate(figures) if not figure.ok} >= short_cut.missed, figures
    return _told(figures)


def _told(figures: list[Figure]) -> str:
    return "; ".join(f"{figure.name}: {figure.measured}" for figure in figures)
