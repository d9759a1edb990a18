"""Calls that their callers cancel or leave before they are answered."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_import_pb2 import ImportTracesRequest
from tests.conftest import RunningServer
from tests.contract.search.searched_traces import a_vector
from tests.support.builders import a_contribution

ROUNDS, CALLS_A_ROUND = 40, 50
LEAST_SECONDS, MOST_SECONDS = 0.001, 0.006


@pytest.mark.parametrize("leaves", ["at the deadline", "by itself"])
async def test_calls_that_are_left_at_any_moment_are_no_failures(
    server: RunningServer, caplog: pytest.LogCaptureFixture, leaves: str
) -> None:
    chance = random.Random(7)  # noqa: S311 - when to leave is no secret
    with capture_logs() as lines, caplog.at_level(logging.WARNING):
        for _ in range(ROUNDS):
            calls = [
                leave(chance.choice(WAYS), server, chance.uniform(LEAST_SECONDS, MOST_SECONDS), leaves == "by itself")
                for _ in range(CALLS_A_ROUND)
            ]
            await asyncio.gather(*calls)
        await asyncio.sleep(0.5)
    # gRPC logs calls that it answers with UNKNOWN or cannot answer any more. Records of its client, which runs in this
    # process too, are not the server's.
    logged = [record.getMessage() for record in caplog.records]
    assert [message for message in logged if "_StreamRequestMixin" not in message] == []
    assert {line["log_level"] for line in lines} == {"info"}
    assert {"INTERNAL", "UNKNOWN"}.isdisjoint(line["code"] for line in lines)
    assert {line["code"] for line in lines} & {"CANCELLED", "DEADLINE_EXCEEDED"}


async def leave(way: "Way", server: RunningServer, seconds: float, by_itself: bool) -> None:  # noqa: FBT001 - private
    try:
        if by_itself:
            async with asyncio.timeout(seconds):
                await way(server, None)
        else:
            await way(server, seconds)
    except (TimeoutError, grpc.aio.AioRpcError, asyncio.CancelledError):
        # gRPC ends some streams with the last one when their deadline passes during a write.
        pass


async def a_refused_read(server: RunningServer, seconds: float | None) -> None:
    await server.traces.GetTrace(pb.GetTraceRequest(trace_id="none"), timeout=seconds)


async def an_answered_read(server: RunningServer, seconds: float | None) -> None:
    await server.traces.GetServiceInfo(pb.GetServiceInfoRequest(), timeout=seconds)


async def a_refused_write(server: RunningServer, seconds: float | None) -> None:
    await server.traces.CreateTrace(a_contribution(title="\0"), timeout=seconds)


async def a_refused_search(server: RunningServer, seconds: float | None) -> None:
    await all_of(server.traces.SearchTraces(pb.SearchTracesRequest(limit=1), timeout=seconds))


async def an_answered_search(server: RunningServer, seconds: float | None) -> None:
    await all_of(server.traces.SearchTraces(pb.SearchTracesRequest(embedding=a_vector()), timeout=seconds))


async def a_refused_import(server: RunningServer, seconds: float | None) -> None:
    await all_of(server.traces.ImportTraces(iter([ImportTracesRequest()]), timeout=seconds))


async def a_stranger(server: RunningServer, seconds: float | None) -> None:
    metadata = (("x-commontrace-user", "nobody"),)
    await server.traces.GetServiceInfo(pb.GetServiceInfoRequest(), timeout=seconds, metadata=metadata)


async def garbage_for_health(server: RunningServer, seconds: float | None) -> None:
    await health_check(server, b"\xff", seconds)


async def an_unknown_name_for_health(server: RunningServer, seconds: float | None) -> None:
    await health_check(server, b"\x0a\x01x", seconds)


async def health_check(server: RunningServer, request: bytes, seconds: float | None) -> None:
    call: Any = server.channel.unary_unary("/grpc.health.v1.Health/Check")
    await call(request, timeout=seconds)


async def garbage_for_reflection(server: RunningServer, seconds: float | None) -> None:
    call: Any = server.channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    await all_of(call(iter([b"\xff"]), timeout=seconds))


async def all_of(stream: Any) -> None:
    async for _ in stream:
        pass


Way = Callable[[RunningServer, float | None], Awaitable[None]]
WAYS: list[Way] = [
    a_refused_read,
    an_answered_read,
    a_refused_write,
    a_refused_search,
    an_answered_search,
    a_refused_import,
    a_stranger,
    garbage_for_health,
    an_unknown_name_for_health,
    garbage_for_reflection,
]
