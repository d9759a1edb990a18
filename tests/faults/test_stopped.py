"""The short cut of the scenario that has times to keep: Postgres is stopped under load."""

from collections.abc import Callable
from pathlib import Path

from tests.faults.short_cuts import check_kept, check_missed_without_protection

Record = Callable[[str, object], None]


async def test_answers_come_in_time(tmp_path: Path, record_property: Record) -> None:
    record_property("counted", await check_kept("stopped", tmp_path))


async def test_without_deadlines_it_shows(tmp_path: Path, record_property: Record) -> None:
    record_property("counted", await check_missed_without_protection("stopped", tmp_path))
