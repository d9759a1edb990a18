"""A short cut of the scenario about secrets, and the same with no rule asked."""

from pathlib import Path

from tests.faults.rig.figure import Trial
from tests.faults.scenarios import SCENARIOS


async def test_figures(tmp_path: Path) -> None:
    figures = await SCENARIOS["secrets"](Trial(seed=1, place=tmp_path, scale=0.05))
    # What a text costs is not for a machine that runs tests beside it.
    assert [figure for figure in figures if not figure.ok and " ms" not in figure.target] == []


async def test_without_rules_the_figure_tells(tmp_path: Path) -> None:
    stored, *_ = await SCENARIOS["secrets"](Trial(seed=1, place=tmp_path, scale=0.01, protected=False))
    assert not stored.ok
    assert "'stored': 7," in stored.measured
