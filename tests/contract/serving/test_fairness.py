"""Fair sharing: one user takes all it gets, and others are still served (ADR 0042)."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import grpc
import pytest
from google.protobuf.message import Message

from commontrace.domain import limits
from commontrace.embeddings.embedder import Embedder
from commontrace.rpc.interceptors import backpressure
from commontrace.storage.database import Database
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_export_pb2 import ExportTracesRequest
from commontrace.v1.trace_pb2 import TRACE_VIEW_FULL
from commontrace.v1.vote_pb2 import VOTE_TYPE_UP
from commontrace.v1.vote_service_pb2 import CastVoteRequest
from tests.conftest import RunningServer, ServerFactory, administer, server_settings
from tests.contract.callers import ADA, BOB, EVE, caller, reason_of
from tests.contract.calls import call
from tests.contract.errors.error_row import CREATE, EXPORT, IMPORT, LIST, SEARCH, UNKNOWN_ID, VALID, WATCH
from tests.faults.harness import http2
from tests.support.builders import a_contribution, large_copies_of
from tests.support.told_embedder import ToldEmbedder

Metadata = tuple[tuple[str, str], ...]


@asynccontextmanager
async def searches_held(running: RunningServer, count: int, user: Metadata) -> AsyncIterator[list[str]]:
    """Holds `count` searches of a user at the database; yields the reasons of those that are refused."""
    held, release = asyncio.Event(), asyncio.Event()
    reasons: list[str] = []

    async def hold(_asked: object) -> None:
        held.set()
        await release.wait()

    async def ask() -> None:
        error = await call(running.channel, SEARCH, VALID[SEARCH].SerializeToString(), user)
        if error is not None:
            reasons.append(str(error.details()))

    holding = asyncio.create_task(running.database.search(hold))
    await held.wait()
    searches = [asyncio.create_task(ask()) for _ in range(count)]
    await asyncio.sleep(0.5)
    yield reasons
    release.set()
    await asyncio.gather(holding, *searches)


async def test_one_user_leaves_calls_for_others(start_server: ServerFactory, database_url: str) -> None:
    database = Database(database_url, pool_size=1, pool_timeout=20)
    async with start_server(database=database, settings=server_settings(max_calls=16)) as running:
        # Of twelve for reads, three quarters.
        async with searches_held(running, 20, ADA) as refused:
            assert len(refused) == 11
            assert all("9 of them yours" in reason for reason in refused)
            assert await reason_of(running.traces.ListTraces(pb.ListTracesRequest(), metadata=ADA)) == "OVERLOADED"
            assert await reason_of(running.traces.ListTraces(pb.ListTracesRequest(), metadata=BOB)) == "OK"
            assert (
                await reason_of(
                    running.votes.CastVote(CastVoteRequest(trace_id=UNKNOWN_ID, type=VOTE_TYPE_UP), metadata=EVE)
                )
                == "TRACE_NOT_FOUND"
            )
        assert len(refused) == 11
    await database.close()


async def test_a_wait_for_work_or_connections_is_refused_within_a_second(
    start_server: ServerFactory, database_url: str
) -> None:
    database = Database(database_url, pool_size=1)
    begun = asyncio.get_running_loop().time()
    async with start_server(database=database) as running, searches_held(running, 0, ADA):
        # A user's work has room for one of them at a time.
        request = pb.SearchTracesRequest(text="which pool?", limit=30)
        errors = await asyncio.gather(
            *(call(running.channel, SEARCH, request.SerializeToString(), ADA) for _ in range(10))
        )
        took = asyncio.get_running_loop().time() - begun
    await database.close()
    assert {error and error.code() for error in errors} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    # Half a second passes before the searches begin.
    assert took < 3


@pytest.mark.parametrize(("rpc", "places"), [(WATCH, 24), (IMPORT, 3)])
async def test_one_user_leaves_streams_for_others(start_server: ServerFactory, rpc: str, places: int) -> None:
    async with start_server(settings=server_settings(max_streams=32)) as running, AsyncExitStack() as open_ones:

        async def opened(user: Metadata) -> str:
            streaming: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = running.channel.stream_stream(rpc)
            stream = streaming(metadata=user, timeout=20)
            open_ones.callback(stream.cancel)
            return await reason_of(_first_answer(stream, VALID[rpc].SerializeToString()))

        assert [await opened(ADA) for _ in range(places)] == ["OK"] * places
        # Not opened the same way: grpc.aio loses the status of a stream that is refused while it sends.
        refusal = await call(running.channel, rpc, VALID[rpc].SerializeToString(), ADA)
        assert refusal is not None
        assert f"{places} of them yours" in str(refusal.details())
        assert await opened(BOB) == "OK"


async def _first_answer(stream: grpc.aio.StreamStreamCall[bytes, bytes], message: bytes) -> None:
    with suppress(asyncio.InvalidStateError):
        await stream.write(message)
    await stream.read()


@pytest.mark.parametrize(
    ("rpc", "request_"),
    [
        (LIST, pb.ListTracesRequest(view=TRACE_VIEW_FULL)),
        (SEARCH, pb.SearchTracesRequest(text="number", limit=100, batch_size=100)),
        (EXPORT, ExportTracesRequest(batch_size=20)),
    ],
)
async def test_answers_that_nobody_reads_leave_room_for_those_of_others(
    start_server: ServerFactory, database_url: str, monkeypatch: pytest.MonkeyPatch, rpc: str, request_: Message
) -> None:
    # Room for four answers, of which a user has three.
    monkeypatch.setattr(backpressure, "MAX_UNSENT_BYTES", 4 * limits.RESPONSE_BYTES)
    async with start_server() as running:
        large = "x" * limits.CONTEXT_CHARACTERS
        created = await running.traces.CreateTrace(a_contribution(context=large, solution=large), metadata=BOB)
        await administer(database_url, large_copies_of(created.created.id, 40))

        async def listed(user: Metadata) -> str:
            return await reason_of(running.traces.ListTraces(pb.ListTracesRequest(page_size=1), metadata=user))

        async with AsyncExitStack() as readers:
            for number, user in enumerate([ADA] * 10 + [EVE] * 3):
                writer = await readers.enter_async_context(http2.connected(running.address))
                payload = request_.SerializeToString()
                writer.write(http2.PREFACE + http2.NO_WINDOW)
                writer.write(http2.request(1, rpc, running.address, payload, user))
                if number == 0:
                    await asyncio.sleep(0.5)
                    assert await listed(ADA) == "OK"
            await asyncio.sleep(1)
            # All memory is in use: users with an unread answer have to read it first, others do not.
            assert [await listed(user) for user in (ADA, EVE, BOB)] == ["OVERLOADED", "OVERLOADED", "OK"]
        # Their callers have left.
        while await listed(ADA) != "OK":
            pass


async def test_answers_that_are_read_are_not_refused_however_long_they_take(
    start_server: ServerFactory, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backpressure, "MAX_UNSENT_BYTES", 4 * limits.RESPONSE_BYTES)
    # Shorter than the time that all of them take.
    monkeypatch.setattr(backpressure, "_MEMORY_WAIT_SECONDS", 0.1)
    async with start_server() as running:
        large = "x" * limits.CONTEXT_CHARACTERS
        created = await running.traces.CreateTrace(a_contribution(context=large, solution=large), metadata=BOB)
        await administer(database_url, large_copies_of(created.created.id, 40))
        request = pb.ListTracesRequest(view=TRACE_VIEW_FULL)
        lists = (reason_of(running.traces.ListTraces(request, metadata=ADA)) for _ in range(40))
        assert await asyncio.gather(*lists) == ["OK"] * 40


@pytest.mark.parametrize("rpc", [SEARCH, CREATE])
async def test_calls_that_wait_for_the_embedder_block_none_that_needs_none(
    start_server: ServerFactory, embedder: Embedder, rpc: str
) -> None:
    told = ToldEmbedder(embedder)
    users = [caller(number) for number in range(5)]
    async with start_server(embedder=told, settings=server_settings(encoding_worker=False)) as running:
        told.gate.clear()

        async def ask(number: int, user: Metadata) -> str:
            # Each with the maximum cost of one call.
            text = f"{number} of {user}"
            request: Message = (
                pb.SearchTracesRequest(text=text, limit=100)
                if rpc == SEARCH
                else a_contribution(title=text[:50], context="x " * 25_000, solution=text + "y " * 24_000)
            )
            error = await call(running.channel, rpc, request.SerializeToString(), user)
            return "OK" if error is None else str(error.details())

        waiting = [asyncio.create_task(ask(number, user)) for number in range(10) for user in users]
        await told.waits.wait()
        await asyncio.sleep(0.5)
        for user in (*users, BOB):
            listing = running.traces.ListTraces(pb.ListTracesRequest(page_size=1), metadata=user, timeout=5)
            assert await reason_of(listing) == "OK"
        told.gate.set()
        assert await asyncio.gather(*waiting) == ["OK"] * len(waiting)


async def test_a_users_long_texts_are_encoded_in_turn_with_those_of_others(server: RunningServer) -> None:
    long = "The pool is exhausted, because nobody returns a session. " * 130

    async def searched(user: Metadata, text: str) -> float:
        begun = time.perf_counter()
        request = pb.SearchTracesRequest(text=text, limit=1)
        async for _ in server.traces.SearchTraces(request, metadata=user, timeout=60):
            pass
        return time.perf_counter() - begun

    alone = await searched(EVE, f"{long} nobody else")
    greedy = [asyncio.create_task(searched(ADA, f"{number} {long}")) for number in range(20)]
    await asyncio.sleep(0.05)
    # It waits for the texts that have begun, at most one for each thread, not for the whole queue.
    assert await searched(BOB, "which pool?") < 5 * alone
    assert sum(task.done() for task in greedy) < 10
    await asyncio.gather(*greedy)
