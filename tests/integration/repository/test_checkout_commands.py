"""Commands of a checkout, typed in a plain shell, find the database of `make serve`; none but `serve` creates one."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkout import Checkout, MadeServer

pytestmark = pytest.mark.slow

# Every command that works on the database itself.
ADMINISTRATION = [
    "keys list",
    "keys create ada@example.org",
    "users create ada@example.org",
    "migrate",
    "seed",
    "recount",
    "reembed",
    "worker --once",
]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """With quotes to give, and a short name for the socket's sake."""
    with tempfile.TemporaryDirectory(prefix="a b") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def checkout(place: Path) -> Checkout:
    return Checkout(place)


@pytest.mark.parametrize("command", ADMINISTRATION)
def test_no_command_but_serve_creates_a_database(checkout: Checkout, command: str) -> None:
    done = checkout.shell(f".venv/bin/commontrace {command}")
    data = checkout.directory / ".data"
    assert (done.returncode, done.stdout, data.exists()) == (1, "", False)
    assert str(data) in done.stderr
    assert "`commontrace serve` makes one" in done.stderr


def test_commands_find_the_database_of_make_serve(checkout: Checkout, place: Path) -> None:
    commontrace = f"'{checkout.directory}/.venv/bin/commontrace'"
    with MadeServer(checkout, AUTHENTICATION="keys") as server:
        assert server.lines[1] == f"  data in {checkout.directory / '.data'}"
        created, key = (checkout.shell(hint) for hint in server.hints)
        assert (created.returncode, key.returncode) == (0, 0), (created, key)
        caller = {"COMMONTRACE_KEY": key.stdout.strip(), "COMMONTRACE_ADDRESS": server.address}
        listed = checkout.shell(f"{commontrace} keys list --json", cwd=place)
        assert json.loads(listed.stdout)["email"] == "ada@example.org"
        info = checkout.shell(f"{commontrace} info", caller, cwd=place)
        assert "you are" in info.stdout, info
        well = checkout.shell(f"{commontrace} doctor", caller, cwd=place)
        assert "its database is the one seen here" in well.stdout, well
        assert (well.returncode, well.stdout.splitlines()[-1]) == (0, "all is well")
    # Of a server that has ended, too.
    assert "ada@example.org" in checkout.shell(".venv/bin/commontrace keys list").stdout


def test_doctor_tells_when_the_server_has_another_database(checkout: Checkout, place: Path) -> None:
    elsewhere = str(place / "else where")
    doctor = ".venv/bin/commontrace doctor"
    with MadeServer(checkout, DATA_DIR=elsewhere) as server:
        assert server.lines[1] == f"  data in {elsewhere}"
        found = checkout.shell(doctor, {"COMMONTRACE_ADDRESS": server.address})
        assert (found.returncode, "is another one than that seen here" in found.stdout) == (1, True), found
        nothing = {"COMMONTRACE_ADDRESS": server.address, "DATA_DIR": str(place / "nowhere")}
        nowhere = checkout.shell(doctor, nothing)
        assert f"as the server on {server.address} has it" in nowhere.stdout
        search, _ = server.hints
        assert (checkout.shell(search).returncode, f"--address {server.address}" in search) == (0, True)
    with MadeServer(checkout, DATA_DIR=elsewhere, AUTHENTICATION="keys") as server:
        users, keys = server.hints
        assert checkout.shell(users).returncode == 0
        accepted = {"COMMONTRACE_KEY": checkout.shell(keys).stdout.strip(), "COMMONTRACE_ADDRESS": server.address}
        same = checkout.shell(doctor, {"DATA_DIR": elsewhere} | accepted)
        assert "its database is the one seen here" in same.stdout
        # The key of the other database, which the server refuses.
        made = checkout.shell(".venv/bin/commontrace keys create ada@example.org")
        refused = {"COMMONTRACE_KEY": made.stdout.strip(), "COMMONTRACE_ADDRESS": server.address}
        found = checkout.shell(doctor, refused)
        assert (found.returncode, "is another one than that seen here" in found.stdout) == (1, True), found
