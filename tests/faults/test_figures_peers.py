"""Short cuts of the scenarios of calls and peers, and what each finds where a protection is missing."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.rig.figure import Figure, Trial
from tests.faults.scenarios import SCENARIOS

_SEED = 20_260_101
_ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True)
class ShortCut:
    """How much of a scenario is run with and without its protection, and which figures must be missed without."""

    scale: float
    unprotected_scale: float
    found: set[str]
    is_timed: bool = False


_SHORT_CUTS = {
    "fuzz": ShortCut(scale=0.008, unprotected_scale=0.001, found={"fuzzed requests over every RPC"}),
    "cancellations": ShortCut(
        scale=0.005,
        unprotected_scale=0.0075,
        found={
            "connections leaked by cancellations",
            "transactions half-written by cancellations",
            "memory growth by cancellations",
        },
    ),
    "deadlines": ShortCut(
        scale=0.05, unprotected_scale=0.004, found={"statements after their call's deadline"}, is_timed=True
    ),
    "pool": ShortCut(scale=0.1, unprotected_scale=0.1, found={"calls while all connections are held"}, is_timed=True),
    "streams": ShortCut(
        scale=0.02,
        unprotected_scale=0.02,
        found={f"{kind} streams broken by kill -9" for kind in ("search", "export", "import", "watch")},
    ),
    "hostile": ShortCut(
        scale=0.05,
        unprotected_scale=0.05,
        found={
            "rapid resets: memory of the server",
            "silent connections: errors of good clients",
            "compressed zeros: memory of the server",
            "large metadata: errors of good clients",
        },
    ),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all: a server starts twice as fast where its database is already."""
    return tmp_path_factory.mktemp("figures")


@pytest.mark.parametrize("name", _SHORT_CUTS)
async def test_protected_servers_reach_every_target(name: str, place: Path) -> None:
    trial = Trial(seed=_SEED, place=place, scale=_SHORT_CUTS[name].scale)
    figures = await SCENARIOS[name](trial)
    # On a machine that is busy with other things, one of a few attempts must be in time.
    for _ in range((_ATTEMPTS - 1) * _SHORT_CUTS[name].is_timed):
        if missed(figures):
            figures = await SCENARIOS[name](trial)
    assert missed(figures) == []


@pytest.mark.parametrize("name", _SHORT_CUTS)
async def test_what_is_missing_is_found(name: str, place: Path) -> None:
    trial = Trial(seed=_SEED, place=place, scale=_SHORT_CUTS[name].unprotected_scale, protected=False)
    figures = await SCENARIOS[name](trial)
    assert _SHORT_CUTS[name].found <= {figure.name for figure in missed(figures)}, figures


def missed(figures: list[Figure]) -> list[Figure]:
    return [figure for figure in figures if not figure.ok]
