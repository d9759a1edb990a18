"""Watching events with the client, over broken connections, server shutdowns and silent servers."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from structlog.testing import capture_logs

from commontrace.client import CallFailed, Client, InvalidArgument, Unavailable, connect, sync
from commontrace.client.streams import watch_progress
from commontrace.v1 import trace_event_pb2
from tests.conftest import RunningServer, ServerFactory, server_settings
from tests.contract.client.test_client_restarts import closed_address as closed_address
from tests.contract.serving.test_logging import until_logged
from tests.faults.harness.proxy import proxy_before
from tests.support.generic_server import answering

SECONDS = 20.0


@pytest.fixture
async def ada(server: RunningServer) -> AsyncIterator[Client]:
    async with connect(server.address, user="ada@example.org") as client:
        yield client


async def contribute(client: Client, number: int) -> str:
    return (await client.contribute(f"Title {number}", "A problem", "A cure")).created.id


async def test_nothing_that_happens_inside_is_missed(ada: Client) -> None:
    async with ada.watch() as stream:
        ids = [await contribute(ada, number) for number in range(3)]
        tokens = []
        for trace_id in ids:
            event = await anext(stream)
            assert (event.trace_id, event.type) == (trace_id, trace_event_pb2.TRACE_EVENT_TYPE_CREATED)
            tokens.append(stream.resume_token)
    for number, token in enumerate(tokens[:-1]):
        async with ada.watch(token) as stream:
            assert [(await anext(stream)).trace_id for _ in ids[number + 1 :]] == ids[number + 1 :]
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_token_that_is_none(ada: Client) -> None:
    with pytest.raises(InvalidArgument, match="resume_token"):
        async with ada.watch("next"):
            pass
    with pytest.raises(InvalidArgument, match="resume_token"):
        await anext(ada.watch("next"))


async def test_it_outlasts_a_restart(start_server: ServerFactory) -> None:
    async with start_server() as server:
        connecting = connect(server.address, user="ada@example.org", deadline=SECONDS)
        client = await connecting.__aenter__()
        stream = client.watch()
        await stream.__aenter__()
        first = await contribute(client, 1)
    await asyncio.sleep(0.5)
    async with start_server(settings=server_settings(listen_address=server.address)):
        second = await contribute(client, 2)
        async with asyncio.timeout(SECONDS):
            assert [(await anext(stream)).trace_id for _ in range(2)] == [first, second]
        await stream.aclose()
        await connecting.__aexit__(None, None, None)


async def test_who_does_not_wait_is_told_of_a_lost_server(start_server: ServerFactory) -> None:
    async with start_server() as server:
        connecting = connect(server.address, wait_for_ready=False)
        client = await connecting.__aenter__()
        stream = client.watch()
        await stream.__aenter__()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(anext(stream), SECONDS)
    await connecting.__aexit__(None, None, None)


async def test_a_server_that_was_never_there(closed_address: str) -> None:
    async with connect(closed_address) as client:
        with pytest.raises(Unavailable, match="no CommonTrace server answers"):
            await anext(client.watch())


@pytest.mark.slow
async def test_breaks_under_the_synchronous_client(server: RunningServer, ada: Client) -> None:
    has_begun = threading.Event()

    def follow(address: str) -> list[str]:
        with sync.connect(address) as client, client.watch() as stream:
            has_begun.set()
            return [next(stream).trace_id for _ in range(60)]

    async with proxy_before(server.address, itertools.repeat(2_000)) as proxy:
        following = asyncio.create_task(asyncio.to_thread(follow, proxy.address))
        await asyncio.to_thread(has_begun.wait)
        ids = [await contribute(ada, number) for number in range(60)]
        assert await asyncio.wait_for(following, SECONDS) == ids
    assert proxy.cuts >= 2


async def test_leaving_ends_the_call(ada: Client) -> None:
    with capture_logs() as lines:
        async with ada.watch():
            pass
        await until_logged(lines, 1)
    assert [(line["event"], line["code"]) for line in lines] == [("TraceService/WatchTraces", "CANCELLED")]


class Silent(grpc.GenericRpcHandler):
    """A handler that sends at most one of its messages on each call, and then stays silent."""

    def __init__(self, *messages: trace_event_pb2.WatchTracesResponse) -> None:
        self.tokens: list[str] = []
        self._messages = iter(messages)

    def service(self, _details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        async def behavior(request: bytes, _context: object) -> AsyncIterator[bytes]:
            self.tokens.append(trace_event_pb2.WatchTracesRequest.FromString(request).resume_token)
            if (message := next(self._messages, None)) is not None:
                yield message.SerializeToString()
            await asyncio.Event().wait()

        return grpc.unary_stream_rpc_method_handler(behavior)


def a_message(token: str, *trace_ids: str) -> trace_event_pb2.WatchTracesResponse:
    events = [trace_event_pb2.TraceEvent(trace_id=trace_id, resume_token=token) for trace_id in trace_ids]
    return trace_event_pb2.WatchTracesResponse(events=events, resume_token=token)


@asynccontextmanager
async def silent() -> AsyncIterator[tuple[Silent, str]]:
    handler = Silent(a_message("a"), a_message("b", "1"), a_message("c", "2"))
    async with answering(handler) as address:
        yield handler, address


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_progress, "_SILENCE_SECONDS", 0.3)


@pytest.mark.usefixtures("impatient")
async def test_a_silent_server_is_asked_again() -> None:
    async with silent() as (handler, address), connect(address) as client, client.watch() as stream:
        assert [(await anext(stream)).trace_id for _ in range(2)] == ["1", "2"]
        # Who is slow to read has been told nothing too late.
        await asyncio.sleep(0.5)
    assert handler.tokens == ["", "a", "b"]


@pytest.mark.usefixtures("impatient")
async def test_a_silent_server_is_asked_again_by_the_synchronous_client() -> None:
    def follow(address: str) -> list[str]:
        with sync.connect(address) as client, client.watch() as stream:
            return [next(stream).trace_id for _ in range(2)]

    async with silent() as (handler, address):
        assert await asyncio.to_thread(follow, address) == ["1", "2"]
    assert handler.tokens == ["", "a", "b"]


async def test_a_server_that_says_nothing_at_all() -> None:
    def follow(address: str) -> None:
        with sync.connect(address, deadline=0.3) as client:
            next(client.watch())

    async with answering(Silent()) as address, connect(address, deadline=0.3) as client:
        with pytest.raises(CallFailed, match=r"nothing came from .* for 0\.3 s"):
            await anext(client.watch())
        with pytest.raises(CallFailed, match=r"nothing came from .* for 0\.3 s"):
            await asyncio.to_thread(follow, address)
