"""docs/settings.md: written from `Settings`, so that a setting is documented where it is declared."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from commontrace.settings import Settings
from tests.conftest import server_settings
from tests.support.repository import REPOSITORY

PAGE = (REPOSITORY / "docs" / "settings.md").read_text()
ROWS = {
    cells[0].strip("`"): cells[1:]
    for row in re.findall(r"^\| (`[A-Z_]+` \| .*) \|$", PAGE, flags=re.MULTILINE)
    if (cells := re.split(r" (?<!\\)\| ", row))
}


def _write(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, str(REPOSITORY / ".ci" / "settings_reference.py"), *arguments]
    return subprocess.run(script, capture_output=True, text=True, check=False)


def test_every_setting_has_a_row_with_its_meaning() -> None:
    assert list(ROWS) == [name.upper() for name in Settings.model_fields]
    assert all(len(cells) == 3 and len(cells[2]) > 10 for cells in ROWS.values())


def test_defaults_are_those_of_a_server() -> None:
    for name, (default, _values, _meaning) in ROWS.items():
        field = Settings.model_fields[name.lower()]
        if default == "unset":
            assert field.default is None or field.default_factory is not None
        else:
            assert str(field.default).lower() in {default.strip("`").lower(), f"{default.strip('`')}.0"}


@pytest.mark.parametrize("name", [name for name, cells in ROWS.items() if re.search(r"\d to [\d,]+$", cells[1])])
def test_bounds_are_those_that_are_checked(name: str) -> None:
    low, high = re.findall(r"([\d,]+) to ([\d,]+)$", ROWS[name][1])[0]
    least, most = int(low.replace(",", "")), int(high.replace(",", ""))
    if "above" not in ROWS[name][1]:
        server_settings(**{name.lower(): least})
    server_settings(**{name.lower(): most})
    for value in (most + 1, -1 if ROWS[name][1].startswith("0, or") else least - 1):
        with pytest.raises(ValidationError, match=name.lower()):
            server_settings(**{name.lower(): value})


@pytest.mark.parametrize("name", [name for name, cells in ROWS.items() if cells[1].startswith("`")])
def test_listed_words_are_taken(name: str) -> None:
    for word in re.findall(r"`([^`]+)`", ROWS[name][1]):
        if word not in {"HOST:PORT", "openai"}:
            server_settings(**{name.lower(): word})


def test_a_page_that_is_not_up_to_date_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "settings.md"
    assert "make generate" in _write("--check", str(page)).stderr
    assert _write(str(page)).returncode == 0
    assert page.read_text() == PAGE
    assert _write("--check", str(page)).returncode == 0
    page.write_text(PAGE.replace("`50051`", "`50052`") + "\n")
    assert _write("--check", str(page)).returncode == 1
