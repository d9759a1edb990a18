"""Contributions and edits while text cannot be encoded, or not in time: kept, said to be PENDING, encoded later."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import RunningServer, ServerFactory, query
from tests.contract.cli.command_line import TEXTS
from tests.faults.server_process import run_command
from tests.support.builders import a_contribution, hits_of, search
from tests.support.told_embedder import ToldEmbedder, away, refusing

PENDING, READY = trace_pb2.EMBEDDING_STATE_PENDING, trace_pb2.EMBEDDING_STATE_READY
COUNTS = "SELECT (SELECT count(*) FROM traces), (SELECT count(*) FROM encoding_jobs)"


@pytest.fixture
def server(workerless: RunningServer) -> RunningServer:
    return workerless


def a_title(trace_id: str, title: str) -> pb.UpdateTraceRequest:
    trace = trace_pb2.Trace(id=trace_id, title=title)
    return pb.UpdateTraceRequest(trace=trace, update_mask=FieldMask(paths=["title"]))


async def state_of(server: RunningServer, trace_id: str) -> trace_pb2.EmbeddingState.ValueType:
    got = await server.traces.GetTrace(pb.GetTraceRequest(trace_id=trace_id))
    return got.trace.embedding_state


async def eventually(ask: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await ask():  # noqa: ASYNC110 - the server is asked
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("answer", [away, refusing("number")], ids=["away", "failing"])
async def test_a_contribution_without_an_embedder_is_kept_and_queued(
    server: RunningServer, told: ToldEmbedder, database_url: str, answer: Callable[..., None]
) -> None:
    near = (await server.traces.CreateTrace(a_contribution(1))).created
    told.answer = answer
    request = a_contribution(2, supersedes_trace_id=near.id, request_id=str(uuid4()))
    created = await server.traces.CreateTrace(request)
    assert (created.created.embedding_state, created.created.status) == (PENDING, trace_pb2.TRACE_STATUS_PENDING)
    assert (created.tokens_read, created.tokens_total, list(created.similar)) == (0, 0, [])
    assert await server.traces.CreateTrace(request) == created
    assert (await server.traces.CreateTrace(a_contribution(2))).existing == created.created
    got = await server.traces.GetTrace(pb.GetTraceRequest(trace_id=near.id))
    assert got.trace.superseded_by_trace_id == created.created.id
    assert [tuple(row) for row in await query(database_url, COUNTS)] == [(2, 1)]
    told.answer = lambda _texts: None
    assert hits_of(await search(server.traces, text="trace number 2")) == []


async def test_a_dry_run_says_that_the_trace_would_wait(
    server: RunningServer, told: ToldEmbedder, database_url: str
) -> None:
    told.answer = away
    would = (await server.traces.CreateTrace(a_contribution(validate_only=True))).created
    assert (would.embedding_state, would.id, would.title) == (PENDING, "", "Trace number 0")
    assert [tuple(row) for row in await query(database_url, COUNTS)] == [(0, 0)]


async def test_an_edit_without_an_embedder_drops_the_old_vector(
    server: RunningServer, told: ToldEmbedder, database_url: str
) -> None:
    trace_id = (await server.traces.CreateTrace(a_contribution())).created.id
    told.answer = away
    edited = await server.traces.UpdateTrace(a_title(trace_id, "Another"))
    assert (edited.trace.embedding_state, edited.trace.revision, edited.tokens_total) == (PENDING, 2, 0)
    assert [tuple(row) for row in await query(database_url, COUNTS)] == [(1, 1)]
    told.answer = lambda _texts: None
    assert hits_of(await search(server.traces, text="trace number")) == []
    with pytest.raises(grpc.aio.AioRpcError, match="TRACE_NOT_ENCODED"):
        await search(server.traces, trace_id=trace_id)
    # Other fields need no vector, and queue nothing.
    tags = pb.UpdateTraceRequest(trace=trace_pb2.Trace(id=trace_id, tags=["go"]), update_mask=FieldMask(paths=["tags"]))
    assert (await server.traces.UpdateTrace(tags)).trace.embedding_state == PENDING
    again = await server.traces.UpdateTrace(a_title(trace_id, "A third"))
    assert (again.trace.embedding_state, again.tokens_total > 0) == (READY, True)
    assert [tuple(row) for row in await query(database_url, COUNTS)] == [(1, 0)]
    [hit] = hits_of(await search(server.traces, text="trace number"))
    assert hit.trace.title == "A third"


async def test_an_embedder_that_hangs_leaves_time_to_store(
    server: RunningServer, told: ToldEmbedder, database_url: str
) -> None:
    trace_id = (await server.traces.CreateTrace(a_contribution(0))).created.id
    told.gate.clear()
    began = time.monotonic()
    created = (await server.traces.CreateTrace(a_contribution(1), timeout=4)).created
    edited = (await server.traces.UpdateTrace(a_title(trace_id, "Another"), timeout=4)).trace
    assert time.monotonic() - began < 8
    assert {created.embedding_state, edited.embedding_state} == {PENDING}
    assert [tuple(row) for row in await query(database_url, COUNTS)] == [(2, 2)]
    told.gate.set()


async def test_a_server_encodes_what_waits_when_it_can(start_server: ServerFactory, told: ToldEmbedder) -> None:
    told.answer = away
    async with start_server(embedder=told) as server:
        created = [(await server.traces.CreateTrace(a_contribution(number))).created for number in range(5)]
        assert {trace.embedding_state for trace in created} == {PENDING}
        told.answer = lambda _texts: None

        async def are_ready() -> bool:
            return {await state_of(server, trace.id) for trace in created} == {READY}

        await eventually(are_ready)
        hits = hits_of(await search(server.traces, text="trace number 3", limit=10))
        assert {hit.trace.id for hit in hits} == {trace.id for trace in created}
        # Being encoded is no edit.
        assert {hit.trace.etag for hit in hits} == {"e1"}
        assert all(hit.trace.update_time == hit.trace.create_time for hit in hits)


async def test_the_command_line_says_that_a_trace_waits(
    server: RunningServer, told: ToldEmbedder, tmp_path: Path
) -> None:
    async def run(*arguments: str) -> tuple[str, str]:
        ended = await asyncio.to_thread(run_command, tmp_path, *arguments, COMMONTRACE_ADDRESS=server.address)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout, ended.stderr

    waits = "it waits for its vector, because text cannot be encoded now: no search finds it until it can\n"
    told.answer = away
    output, message = await run("contribute", *TEXTS)
    assert (output.startswith("stored "), message) == (True, waits)
    trace_id = output.split()[1]
    changed = "revision 2, pending again: votes count for the text they were cast on\n"
    assert await run("update", trace_id, "--title", "Another") == (changed, waits)
    shown, _ = await run("get", trace_id)
    assert shown.splitlines()[:2] == ["Another", "pending  not encoded yet"]
    listed, _ = await run("list", "--json")
    assert json.loads(listed)["embedding_state"] == "EMBEDDING_STATE_PENDING"
    told.answer = lambda _texts: None
    assert (await run("update", trace_id, "--title", "A third"))[1] == ""
