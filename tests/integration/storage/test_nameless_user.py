"""A uid that the system has no name for, without HOME, as containers give it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.storage.postgres_owners import OWNER, User, query
from tests.support.processes import wait_until_gone

# What follows runs as uid 23456 in the eyes of the process.
NAMELESS = """
import ctypes, os
from pathlib import Path
user, group = os.geteuid(), os.getegid()
assert ctypes.CDLL(None).unshare(0x10000000) == 0
Path("/proc/self/setgroups").write_text("deny")
Path("/proc/self/uid_map").write_text(f"23456 {user} 1")
Path("/proc/self/gid_map").write_text(f"23456 {group} 1")
"""
# Drops what a namespace gives its first process: with it, directories are open.
POWERLESS = """
header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert ctypes.CDLL(None).capset(header, none) == 0
"""
COMMAND = "from commontrace.cli import main\nmain()\n"


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ct-") as directory:
        yield Path(directory)
        wait_until_gone(Path(directory))


def test_the_embedded_postgres_runs(home: Path) -> None:
    user = User(home=home)
    with user.popen(NAMELESS + OWNER, str(home / "data"), "18") as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        assert '"url"' in told, told
        assert query(told.split('"')[3], "SELECT 1") == [1]
        process.communicate(timeout=30)


@pytest.fixture
def closed(home: Path) -> Iterator[Path]:
    """A directory into which not even its owner may look, who inside the namespace is no root any more."""
    directory = home / "closed"
    directory.mkdir(mode=0)
    yield directory
    directory.chmod(0o700)


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("doctor", 1, "cannot look into {}/data: Permission denied"),
        ("keys list", 1, "cannot look into {}/data: Permission denied"),
        ("export {}/traces.jsonl", 2, "{}/traces.jsonl cannot be written: Permission denied"),
        ("import {}/traces.jsonl", 2, "{}/traces.jsonl cannot be read: Permission denied"),
    ],
)
def test_a_directory_that_is_closed_is_told(home: Path, closed: Path, command: str, code: int, said: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", NAMELESS + POWERLESS + COMMAND, *command.format(closed).split()],
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(closed / "data")},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, "Traceback" in ended.stderr) == (code, False)
    assert said.format(closed) in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"DATABASE_URL": "postgresql://127.0.0.1:1/x"}, "DATABASE_URL names no user"),
        ({"DATABASE_URL": "postgresql://127.0.0.1:1/x", "PGUSER": "ada"}, "the database cannot be reached"),
        ({"DATABASE_URL": "postgresql://ada@127.0.0.1:1/x"}, "the database cannot be reached"),
        ({"DATA_DIR": "~/traces"}, "DATA_DIR: ~/traces begins with a home directory that is not known"),
    ],
)
def test_what_lacks_a_name_is_told_in_one_line(home: Path, variables: dict[str, str], said: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", NAMELESS + COMMAND, "keys", "list"],
        env={"PATH": os.environ["PATH"]} | variables,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    [line] = ended.stderr.splitlines()
    assert said in line
