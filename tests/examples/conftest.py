"""The examples run against one real server, on a free port and with data of its own."""

import asyncio
import shutil
from collections.abc import Iterator

import pytest

from tests.examples.programs import PROGRAMS, Program
from tests.examples.shell import run
from tests.faults.server_process import ServerProcess

BUILD_SECONDS = 1200.0
_NEEDED = {"go": "Go 1.26 or newer", "npm": "Node.js 20 or newer, which brings npm"}


@pytest.fixture(scope="package", autouse=True)
def other_languages() -> None:
    """Asks for what is missing, instead of leaving tests out."""
    missing = [
        f"`{tool}` is not on the PATH, install {what}" for tool, what in _NEEDED.items() if not shutil.which(tool)
    ]
    if missing:
        pytest.exit(f"the examples are in other languages: {'; '.join(missing)}", returncode=1)


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="package")
def programs() -> list[Program]:
    """All of them, built."""
    for program in PROGRAMS.values():
        built = asyncio.run(run(program.build, place=program.place, seconds=BUILD_SECONDS))
        assert built.status == 0, f"{built.stdout}\n{built.stderr}"
    return list(PROGRAMS.values())


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest, programs: list[Program]) -> Program:
    """One of them."""
    return next(program for program in programs if program is PROGRAMS[request.param])
