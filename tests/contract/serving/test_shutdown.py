"""Graceful shutdown: calls, watches and connections when a server stops (ADR 0046)."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from commontrace.client import CallFailed
from commontrace.embeddings.embedder import Embedder
from commontrace.serving.bootstrap import Foundation
from commontrace.serving.server import serving
from commontrace.storage.database import Database
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_event_pb2 import WatchTracesRequest
from commontrace.v1.trace_service_pb2 import GetServiceInfoRequest
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.conftest import ServerFactory, server_settings
from tests.contract.errors.error_row import GET
from tests.contract.serving.test_health_and_reflection import NOT_SERVING, SERVING, TRACE_SERVICE
from tests.faults.harness import http2
from tests.support.builders import a_contribution, store_large_trace
from tests.support.keys import Metadata, a_key, bearer
from tests.support.locks import held, until_waiting

CALLS: dict[str, Callable[[TraceServiceStub, Metadata], Any]] = {
    "one answer": lambda traces, key: traces.GetServiceInfo(GetServiceInfoRequest(), metadata=key),
    "a write": lambda traces, key: traces.CreateTrace(a_contribution(), metadata=key),
    "a stream": lambda traces, key: traces.SearchTraces(pb.SearchTracesRequest(text="cache"), metadata=key).read(),
    "a stream without an end": lambda traces, key: traces.WatchTraces(WatchTracesRequest(), metadata=key).read(),
    "a stream of requests": lambda traces, key: traces.ImportTraces(metadata=key).read(),
}
WATCH = "/grpc.health.v1.Health/Watch"


async def test_shutdown_waits_for_calls_but_not_for_health_watches(start_server: ServerFactory) -> None:
    grace = 60
    async with AsyncExitStack() as client, asyncio.timeout(grace / 3):
        async with start_server(settings=server_settings(stop_grace_seconds=grace)) as server:
            channel = await client.enter_async_context(grpc.aio.insecure_channel(server.address))
            stub: Any = health_pb2_grpc.HealthStub(channel)
            watch = stub.Watch(health_pb2.HealthCheckRequest(service=TRACE_SERVICE))
            assert (await watch.read()).status == SERVING
            creating = TraceServiceStub(channel).CreateTrace(a_contribution(context="word " * 5000))
            await asyncio.sleep(0.02)
        assert (await watch.read()).status == NOT_SERVING
        assert (await creating).created.id


async def test_a_draining_server_takes_calls_until_it_is_told_to_hurry(database: Database, embedder: Embedder) -> None:
    hurry, stack = asyncio.Event(), AsyncExitStack()
    foundation = Foundation(database=database, embedder=embedder)
    address = await stack.enter_async_context(serving(server_settings(drain_seconds=60), foundation, hurry=hurry))
    async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(30):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=""))
        assert (await watch.read()).status == SERVING
        stopping = asyncio.create_task(stack.aclose())
        assert (await watch.read()).status == NOT_SERVING
        await TraceServiceStub(channel).GetServiceInfo(GetServiceInfoRequest())
        hurry.set()
        await stopping


async def test_a_health_watcher_that_does_not_read_delays_no_shutdown(start_server: ServerFactory) -> None:
    async with AsyncExitStack() as client, asyncio.timeout(20):
        async with start_server(settings=server_settings(stop_grace_seconds=1)) as server:
            stalled = await client.enter_async_context(http2.connected(server.address))
            stalled.write(http2.PREFACE + http2.NO_WINDOW + http2.request(1, WATCH, server.address, b""))
            await asyncio.sleep(0.2)
            channel = await client.enter_async_context(grpc.aio.insecure_channel(server.address))
            stub: Any = health_pb2_grpc.HealthStub(channel)
            watch = stub.Watch(health_pb2.HealthCheckRequest(service=""))
            assert (await watch.read()).status == SERVING
        assert (await watch.read()).status == NOT_SERVING


async def test_an_answer_on_its_way_arrives_whole(start_server: ServerFactory) -> None:
    async with AsyncExitStack() as ended, asyncio.timeout(30):
        running = AsyncExitStack()
        server = await running.enter_async_context(start_server(settings=server_settings(stop_grace_seconds=20)))
        request = pb.GetTraceRequest(trace_id=await store_large_trace(server.traces)).SerializeToString()
        size = (await server.traces.GetTrace(pb.GetTraceRequest.FromString(request))).ByteSize()
        host, _, port = server.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        ended.callback(writer.close)
        # The window of a stream is 64 KiB: the rest of the answer has to wait.
        writer.write(http2.PREFACE + http2.SETTINGS + http2.request(1, GET, server.address, request))
        received = 0
        while received < http2.WINDOW_BYTES:
            received += len(await http2.next_data(reader) or b"")
        stopping = asyncio.create_task(running.aclose())
        await asyncio.sleep(0.5)
        writer.write(http2.window_update(0, size) + http2.window_update(1, size))
        while more := await http2.next_data(reader):
            received += len(more)
        # With the five bytes before a message.
        assert received == size + 5
        # As clients do after GOAWAY; the server waits for a peer that stays until the end of the grace.
        writer.close()
        await stopping


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_calls_that_have_not_begun_at_shutdown_are_refused_with_a_reason(
    start_server: ServerFactory,
    database: Database,
    database_url: str,
    call: Callable[[TraceServiceStub, Metadata], Awaitable[object]],
) -> None:
    key = bearer(await a_key(database, "ada@example.org"))
    async with AsyncExitStack() as client, asyncio.timeout(30):
        running = AsyncExitStack()
        settings = server_settings(authentication="keys", stop_grace_seconds=20)
        server = await running.enter_async_context(start_server(settings=settings))
        traces = TraceServiceStub(await client.enter_async_context(grpc.aio.insecure_channel(server.address)))
        async with held(database_url, "LOCK TABLE api_keys"):
            # Its key is looked up, so it has not begun.
            calling = asyncio.ensure_future(call(traces, key))
            await until_waiting(database_url)
            stopping = asyncio.create_task(running.aclose())
            await asyncio.sleep(0.2)
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await calling
        assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
        assert CallFailed.from_rpc_error(failure.value).reason == "SERVER_STOPPING"
        await stopping
