"""`make faults` itself: what it does with scenarios that fail, and what it says."""

from pathlib import Path

import pytest

from tests.faults import markdown
from tests.faults.harness.figure import Figure, Trial
from tests.faults.run import measured


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (AssertionError("no answer"), "AssertionError: no answer"),
        (ExceptionGroup("tasks", [ExceptionGroup("more", [OSError("gone")])]), "OSError: gone"),
    ],
    ids=["error", "group"],
)
async def test_a_scenario_that_raises_is_a_figure_that_misses(error: Exception, said: str, tmp_path: Path) -> None:
    async def raises(_trial: Trial) -> list[Figure]:
        raise error

    [figure] = await measured("cuts", raises, Trial(seed=1, place=tmp_path))
    assert (figure.name, figure.measured, figure.ok) == ("cuts", said, False)


def test_figures_as_a_table() -> None:
    figures = [
        {"name": "lost", "target": "0", "measured": "0 of 10", "ok": True, "seed": 1, "command": "make faults"},
        {"name": "late", "target": "0", "measured": "2 of 10", "ok": False, "seed": 1, "command": "make faults"},
    ]
    assert list(markdown.table_of(figures)) == [
        "| figure | target | measured | kept   | repeated by   |",
        "|--------|--------|----------|--------|---------------|",
        "| lost   | 0      | 0 of 10  | yes    | `make faults` |",
        "| late   | 0      | 2 of 10  | **no** | `make faults` |",
        "",
    ]
