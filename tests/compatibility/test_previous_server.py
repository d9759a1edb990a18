"""The newest client and command line on the server of 0.1.0, without RANKING_BEST (ADR 0059) and namespaces."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from commontrace.cli.exit_codes import FAILED
from commontrace.client import FailedPrecondition, InvalidArgument, SearchHits, connect, sync
from commontrace.v1.trace_record_pb2 import TraceRecord
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


async def test_nothing_is_sent_to_a_namespace_that_the_server_does_not_know(previous_server: ServerProcess) -> None:
    records = [TraceRecord(title="t", context="c", solution="s", namespace=name) for name in ("", "team")]
    async with connect(previous_server.address, user="ada@example.org") as client:
        for refused in (
            client.contribute("A secret", "A problem", "A cure", namespace="team"),
            anext(client.import_traces(records[:1], namespace="team")),
            anext(client.import_traces(records[1:])),
        ):
            with pytest.raises(FailedPrecondition, match="is too old for namespaces: nothing was stored"):
                await refused
        assert [trace.title async for trace in client.list(show_deleted=True)] == []
        # Its only namespace is what `commons` is.
        assert (await client.contribute("A fact", "A problem", "A cure", namespace="commons")).created.namespace == ""
        [result] = [result async for result in client.import_traces(records[:1])]
        assert result.created_trace_id


def test_its_services_count_as_ready(previous_server: ServerProcess, tmp_path: Path) -> None:
    ended = run_command(tmp_path, "health", "--address", previous_server.address)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "SERVING\n", "")


@pytest.mark.parametrize("command", [["namespaces", "list"], ["promote", str(UUID(int=1)), "--to", "team"]])
def test_commands_that_it_does_not_know_say_so(
    previous_server: ServerProcess, tmp_path: Path, command: list[str]
) -> None:
    ended = run_command(tmp_path, *command, "--address", previous_server.address)
    assert (ended.returncode, ended.stdout) == (FAILED, "")
    where = previous_server.address
    assert (
        ended.stderr == f"commontrace: the server on {where} is too old for this command: it does not know the call\n"
    )
