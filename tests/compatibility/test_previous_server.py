"""The newest client and command line search on the server of 0.1.0, which does not know RANKING_BEST (ADR 0059)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from commontrace.client import InvalidArgument, SearchHits, connect, sync
from tests.compatibility.previous_version import PreviousVersion
from tests.faults.server_process import ServerProcess, run_command

QUESTION = "greenlet_spawn has not been called"


@pytest.fixture(scope="module")
def previous_server(
    previous_version: PreviousVersion, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path_factory.mktemp("previous-server"))
    server.python = str(previous_version.python)
    with server:
        yield server


def ids_of(hits: SearchHits) -> list[str]:
    return [hit.trace.id for hit in hits]


async def test_the_client_ranks_as_well_as_the_server_can(previous_server: ServerProcess) -> None:
    async with connect(previous_server.address) as client:
        hits = await client.search(QUESTION, explain=True)
        assert hits[0].explanation.lexical_rank == 1
        assert ids_of(await client.search(QUESTION)) == ids_of(hits)
        assert ids_of(await client.search(QUESTION, ranking="hybrid")) == ids_of(hits)
        assert ids_of(await client.search(QUESTION, ranking="cosine")) != ids_of(hits)
        assert len(await client.search(QUESTION, limit=1000)) == 12
        with pytest.raises(InvalidArgument) as failure:
            await client.search(QUESTION, ranking="best")
    assert (failure.value.reason, [*failure.value.violations]) == ("UNKNOWN_ENUM_VALUE", ["ranking"])


def test_the_synchronous_client_does_so_too(previous_server: ServerProcess) -> None:
    with sync.connect(previous_server.address) as client:
        assert ids_of(client.search(QUESTION)) == ids_of(client.search(QUESTION, ranking="hybrid"))


def test_the_command_line_searches(previous_server: ServerProcess, tmp_path: Path) -> None:
    def printed(*options: str) -> str:
        asked = ("search", QUESTION, *options, "--address", previous_server.address)
        ended = run_command(tmp_path, *asked)
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout

    assert printed("--ids") == printed("--ids", "--ranking", "hybrid") != printed("--ids", "--ranking", "cosine")
