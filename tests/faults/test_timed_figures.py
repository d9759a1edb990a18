"""The short cuts of scenarios that have times to keep, and each without its protection, which has to show."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.short_cuts import TIMED, check_kept, check_missed_without_protection

Record = Callable[[str, object], None]


@pytest.mark.parametrize("name", TIMED)
async def test_answers_come_in_time(name: str, tmp_path: Path, record_property: Record) -> None:
    record_property("counted", await check_kept(name, tmp_path))


@pytest.mark.parametrize("name", TIMED)
async def test_without_protection_it_shows(name: str, tmp_path: Path, record_property: Record) -> None:
    record_property("counted", await check_missed_without_protection(name, tmp_path))
