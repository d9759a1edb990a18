"""A short cut of every scenario, and each without its protection, so that its figures are known to show something."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults.rig.figure import Trial
from tests.faults.scenarios import SCENARIOS

SEED = 1


class ShortCut(NamedTuple):
    """How much of a scenario is run, with and without protection, and which of its figures then miss."""

    scale: float
    unprotected: float
    missed: set[int]


SHORT_CUTS = {
    "kills": ShortCut(0.01, 0.01, {0}),
    "cuts": ShortCut(0.01, 0.01, {1}),
    "stopped": ShortCut(0.01, 0.01, {0, 1}),
    "rolling": ShortCut(0.04, 0.02, {0}),
    "history": ShortCut(0.02, 0.02, {0}),
    "tallies": ShortCut(0.02, 0.01, {0}),
    "starts": ShortCut(0.01, 0.01, {0}),
}


@pytest.mark.parametrize("name", SCENARIOS)
async def test_promises_are_kept(name: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    figures = await SCENARIOS[name](Trial(seed=SEED, place=tmp_path, scale=SHORT_CUTS[name].scale))
    record_property("counted", "; ".join(f"{figure.name}: {figure.measured}" for figure in figures))
    assert [figure for figure in figures if not figure.ok] == []


@pytest.mark.parametrize("name", SCENARIOS)
async def test_figures_miss_without_protection(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    trial = Trial(seed=SEED, place=tmp_path, scale=SHORT_CUTS[name].unprotected, protected=False)
    figures = await SCENARIOS[name](trial)
    record_property("counted", "; ".join(f"{figure.name}: {figure.measured}" for figure in figures))
    assert {place for place, figure in enumerate(figures) if not figure.ok} >= SHORT_CUTS[name].missed
