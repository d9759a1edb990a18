"""Short cuts of the scenarios about keys, and the same with what protects turned off."""

from pathlib import Path

import pytest

from tests.faults.rig.figure import Trial
from tests.faults.scenarios import SCENARIOS


@pytest.mark.parametrize("name", ["keys", "revoked"])
async def test_figures(tmp_path: Path, name: str) -> None:
    figures = await SCENARIOS[name](Trial(seed=1, place=tmp_path, scale=0.1))
    assert [figure for figure in figures if not figure.ok] == []


@pytest.mark.parametrize("name", ["keys", "revoked"])
async def test_without_protection_the_figure_tells(tmp_path: Path, name: str) -> None:
    [figure] = await SCENARIOS[name](Trial(seed=1, place=tmp_path, scale=0.1, protected=False))
    assert not figure.ok
