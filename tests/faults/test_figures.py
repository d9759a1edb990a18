"""A short cut of every scenario that has no times to keep, and each without its protection, which has to show."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.scenario_table import SCENARIOS
from tests.faults.smoke import SHORT_CUTS, TIMED, check_kept, check_missed_without_protection

# What is timed has the machine for itself: see test_timed_figures.py and the Makefile.
UNTIMED = [name for name in SHORT_CUTS if name not in TIMED]
Record = Callable[[str, object], None]


def test_every_scenario_has_a_short_cut() -> None:
    assert SHORT_CUTS.keys() == SCENARIOS.keys()


@pytest.mark.parametrize("name", UNTIMED)
async def test_promises_are_kept(name: str, tmp_path: Path, record_property: Record) -> None:
    record_property("counted", await check_kept(name, tmp_path))


@pytest.mark.parametrize("name", SHORT_CUTS)
async def test_without_protection_it_shows(name: str, tmp_path: Path, record_property: Record) -> None:
    record_property("counted", await check_missed_without_protection(name, tmp_path))
