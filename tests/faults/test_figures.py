"""A short cut of every scenario, and each with its protection off, so that its figure is known to show something."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.rig.figure import Trial
from tests.faults.scenarios import SCENARIOS

SEED = 1
SCALES = {
    "kills": 0.02,
    "cuts": 0.01,
    "stopped": 0.01,
    "rolling": 0.08,
    "starts": 0.01,
    "tallies": 0.02,
    "history": 0.02,
}
"""How much of each scenario: enough to see that it runs and what it finds."""


@pytest.mark.parametrize("protected", [True, False], ids=["protected", "unprotected"])
@pytest.mark.parametrize("name", SCENARIOS)
async def test_figures(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None], *, protected: bool
) -> None:
    figures = await SCENARIOS[name](Trial(seed=SEED, place=tmp_path, scale=SCALES[name], protected=protected))
    record_property("counted", "; ".join(f"{figure.name}: {figure.measured}" for figure in figures))
    assert all(figure.ok for figure in figures) == protected
