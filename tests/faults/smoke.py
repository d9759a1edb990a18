"""Short cuts of scenarios for `make test-slow`: enough to see that each runs, and fails without protection."""

from pathlib import Path
from typing import NamedTuple

from commontrace.serving import process_limits
from tests.faults.harness.figure import Figure, Trial
from tests.faults.scenario_table import SCENARIOS

_SEED = 1


class _ShortCut(NamedTuple):
    """Scales of a scenario with and without protection, and the figures that miss without it.

    Figures in `timed` need a machine that runs no other tests beside them.
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
    "purges": _ShortCut(0.05, 0.08, {0}),
    "starts": _ShortCut(0.01, 0.01, {0}),
    "fuzz": _ShortCut(0.008, 0.001, {0}),
    # So few searches may all be over before they are cancelled: a leak of connections shows in the whole scenario.
    "cancellations": _ShortCut(0.005, 0.015, {1, 2}),
    "deadlines": _ShortCut(0.05, 0.004, {0}),
    "streams": _ShortCut(0.02, 0.02, {0, 1, 2}),
    "hostile": _ShortCut(0.05, 0.05, {3, 4}),
    "messages": _ShortCut(0.05, 0.05, {0}),
    "strangers": _ShortCut(0.05, 0.05, {5}),
    "filters": _ShortCut(0.2, 0.3, {2}, frozenset({1, 2})),
    "tag_names": _ShortCut(0.2, 0.2, {0, 1}),
    "words": _ShortCut(0.2, 0.4, {1}, frozenset({2})),
    "endpoint": _ShortCut(0.2, 0.2, {0, 1}),
    "shares": _ShortCut(0.1, 0.3, {2}, frozenset({1})),
    "pool": _ShortCut(0.1, 0.1, {0}),
    "keys": _ShortCut(0.1, 0.1, {0}),
    "revoked": _ShortCut(0.1, 0.1, {0}),
    "namespaces": _ShortCut(0.05, 0.02, {0}),
    "secrets": _ShortCut(0.05, 0.01, {0}, frozenset({2})),
}


TIMED = ("stopped", "deadlines", "pool")
"""What has the machine for itself, because it has times to keep."""


async def check_kept(name: str, place: Path) -> str:
    """Demands that every figure is as promised, at the first attempt; returns the figures."""
    short_cut = SHORT_CUTS[name]
    # A collection here, among all that pytest has imported, would be measured as 0.09 s of the server's.
    process_limits.freeze_heap()
    figures = await SCENARIOS[name](Trial(seed=_SEED, place=place, scale=short_cut.scale))
    missed = [figure for number, figure in enumerate(figures) if not figure.ok and number not in short_cut.timed]
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
