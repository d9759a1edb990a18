"""Admission control: calls and streams beyond a limit are refused, others go on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from commontrace.storage.database import Database
from tests.conftest import RunningServer, ServerFactory, server_settings
from tests.contract.callers import BOB
from tests.contract.calls import call
from tests.contract.errors.error_promises import details
from tests.contract.errors.error_row import CAST_VOTE, LIST, SEARCH, VALID, WATCH


@pytest.fixture
async def busy(start_server: ServerFactory, database_url: str) -> AsyncIterator[RunningServer]:
    """A server with a limit of four calls, the three for reads in use, and of one stream of each kind."""
    database = Database(database_url, pool_size=1, pool_timeout=20)
    async with start_server(database=database, settings=server_settings(max_calls=4, max_streams=1)) as running:
        assert await call(running.channel, SEARCH, VALID[SEARCH].SerializeToString()) is None
        async with _searches_held(running, count=3):
            yield running
    await database.close()


@asynccontextmanager
async def _searches_held(running: RunningServer, count: int) -> AsyncIterator[None]:
    held, release = asyncio.Event(), asyncio.Event()

    async def hold(_asked: object) -> None:
        held.set()
        await release.wait()

    holding = asyncio.create_task(running.database.search(hold))
    await held.wait()
    searches = [
        asyncio.create_task(call(running.channel, SEARCH, VALID[SEARCH].SerializeToString())) for _ in range(count)
    ]
    # The next one is refused as soon as they have begun.
    while await _reason(running, SEARCH, BOB) != "OVERLOADED":
        pass
    yield
    release.set()
    await holding
    assert await asyncio.gather(*searches) == [None] * count


async def test_reads_leave_room_for_writes_and_health_is_never_refused(busy: RunningServer) -> None:
    assert await _reason(busy, LIST, BOB) == "OVERLOADED"
    assert await _reason(busy, CAST_VOTE, BOB) == "TRACE_NOT_FOUND"
    health: Any = health_pb2_grpc.HealthStub(busy.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service="commontrace.v1.TraceService"), timeout=5)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_lasting_streams_have_limits_of_their_own(busy: RunningServer) -> None:
    streaming: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = busy.channel.unary_stream(WATCH)
    watching = streaming(VALID[WATCH].SerializeToString())
    await watching.read()
    error = await call(busy.channel, WATCH, VALID[WATCH].SerializeToString())
    assert error is not None
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    [retry] = details(error, error_details_pb2.RetryInfo)
    assert retry.retry_delay.seconds == 5
    watching.cancel()
    while await _reason(busy, WATCH) == "OVERLOADED":
        pass


async def test_calls_that_begin_after_their_deadline_are_no_failures_of_the_server(
    start_server: ServerFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    async with start_server() as running:
        await asyncio.to_thread(_list_with_short_deadlines, running.address)
    logged = capsys.readouterr()
    assert "unexpected failure" not in logged.out + logged.err


def _list_with_short_deadlines(address: str) -> None:
    """Asks with gRPC's synchronous client: its asynchronous one was seen to forget some of so many deadlines."""
    with grpc.insecure_channel(address) as channel:
        listing: Any = channel.unary_unary(LIST)
        for seconds in (0.005, 0.02, 0.05, 0.1):
            calls = [listing.future(VALID[LIST].SerializeToString(), timeout=seconds) for _ in range(300)]
            # Waits for each.
            assert not {one.code() for one in calls} & {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}


async def _reason(running: RunningServer, rpc: str, user: tuple[tuple[str, str], ...] = ()) -> str:
    # Shorter than the wait of the searches: a call that is admitted by mistake must not hang.
    error = await asyncio.wait_for(call(running.channel, rpc, VALID[rpc].SerializeToString(), user), 10)
    if error is None:
        return ""
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        assert details(error, error_details_pb2.RetryInfo)
    [info] = details(error, error_details_pb2.ErrorInfo)
    return str(info.reason)
