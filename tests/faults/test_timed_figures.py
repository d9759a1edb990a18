"""The short cuts of scenarios that have times to keep."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.smoke import TIMED, check_kept

Record = Callable[[str, object], None]


@pytest.mark.parametrize("name", TIMED)
async def test_answers_come_in_time(name: str, tmp_path: Path, record_property: Record) -> None:
    record_property("counted", await check_kept(name, tmp_path))
