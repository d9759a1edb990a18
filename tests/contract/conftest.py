"""A server as a process of its own for the tests of the command line."""

from collections.abc import Iterator

import pytest

from tests.contract.command_line import Commands
from tests.faults.server_process import ServerProcess


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """Commands against a server with the sample traces, which the tests of a module share."""
    place = tmp_path_factory.mktemp("commands")
    with ServerProcess(place) as server:
        yield Commands(server, place)
