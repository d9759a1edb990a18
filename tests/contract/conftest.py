"""Servers for several modules: as a process of its own for the command line, and one that asks for keys."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conftest import RunningServer, ServerFactory, server_settings
from tests.contract.cli.command_line import Commands
from tests.faults.server_process import ServerProcess
from tests.support.told_embedder import ToldEmbedder


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory, seeded_database_url: str) -> Iterator[Commands]:
    """Commands against a server with the sample traces, which the tests of a module share."""
    place = tmp_path_factory.mktemp("commands")
    with ServerProcess(place, DATABASE_URL=seeded_database_url) as server:
        yield Commands(server, place, seeded_database_url)


@pytest.fixture
async def keyed(start_server: ServerFactory) -> AsyncIterator[RunningServer]:
    """A server that asks for keys."""
    async with start_server(settings=server_settings(authentication="keys")) as running:
        yield running


@pytest.fixture
async def workerless(start_server: ServerFactory, told: ToldEmbedder) -> AsyncIterator[RunningServer]:
    """A server that leaves the encoding queue alone, with an embedder that waits or fails when told to."""
    async with start_server(settings=server_settings(encoding_worker=False), embedder=told) as running:
        yield running
