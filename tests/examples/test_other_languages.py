"""Commands of docs/other-languages.md, run as written."""

import re
from collections.abc import Iterator

import pytest

from tests.examples.shell import run
from tests.faults.server_process import ServerProcess
from tests.support.repository import REPOSITORY

TEXT = (REPOSITORY / "docs/other-languages.md").read_text()
COMMANDS = re.findall(r"^```sh\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of its own: some commands run the programs whose effects other tests count."""
    with ServerProcess(tmp_path_factory.mktemp("commands")) as server:
        yield server


@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
async def test_every_command_works(command: str, server: ServerProcess) -> None:
    here = command.replace("127.0.0.1:50051", server.address)
    ended = await run(here, place=REPOSITORY, seconds=600)
    assert ended.status == 0, ended.stderr
    assert ended.stdout.strip()
