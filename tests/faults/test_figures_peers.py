"""Short cuts of the scenarios of calls and peers, and what each finds where a protection is missing."""

from pathlib import Path

import pytest

from tests.faults.rig.figure import Figure, Trial
from tests.faults.scenarios import SCENARIOS

_SEED = 20_260_101
_SCALES = {
    "fuzz": 0.01,
    "cancellations": 0.005,
    "deadlines": 0.05,
}
_UNPROTECTED_SCALES = _SCALES | {"fuzz": 0.001, "deadlines": 0.004}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all: a server starts twice as fast where its database is already."""
    return tmp_path_factory.mktemp("figures")


@pytest.mark.parametrize("name", _SCALES)
async def test_protected_servers_reach_every_target(name: str, place: Path) -> None:
    assert missed(await SCENARIOS[name](Trial(seed=_SEED, place=place, scale=_SCALES[name]))) == []


@pytest.mark.parametrize("name", _UNPROTECTED_SCALES)
async def test_unprotected_ones_miss_every_target(name: str, place: Path) -> None:
    trial = Trial(seed=_SEED, place=place, scale=_UNPROTECTED_SCALES[name], protected=False)
    figures = await SCENARIOS[name](trial)
    assert missed(figures) == figures


def missed(figures: list[Figure]) -> list[Figure]:
    return [figure for figure in figures if not figure.ok]
