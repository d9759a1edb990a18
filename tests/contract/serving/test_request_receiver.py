"""Calls whose message is slow, missing or malformed."""

import asyncio
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from commontrace.rpc import request_receiver
from tests.conftest import RunningServer
from tests.contract.callers import reason_of, refused
from tests.contract.calls import call
from tests.contract.errors.error_promises import broken_promises
from tests.contract.errors.error_row import GET, SEARCH, Row, malformed

CHECK, WATCH = (f"/grpc.health.v1.Health/{name}" for name in ("Check", "Watch"))
REFLECT = "/grpc.reflection.{}.ServerReflection/ServerReflectionInfo"
GARBAGE = {"no message at all": None, "broken encoding": b"\xff\xff", "text that is not UTF-8": b"\x0a\x02\xff\xfe"}


def silent_call(server: RunningServer, rpc: str) -> "grpc.aio.StreamStreamCall[bytes, bytes]":
    """A call that sends no message and does not half-close."""
    method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = server.channel.stream_stream(rpc)
    return method(timeout=10)


@pytest.mark.parametrize("rpc", [GET, SEARCH, CHECK, WATCH])
async def test_a_missing_message_times_out(server: RunningServer, monkeypatch: pytest.MonkeyPatch, rpc: str) -> None:
    monkeypatch.setattr(request_receiver, "PROMPT_SECONDS", 0.1)
    monkeypatch.setattr(request_receiver, "TIMEOUT_SECONDS", 0.2)
    async with refused("MALFORMED_REQUEST"):
        await silent_call(server, rpc).read()


async def test_idle_reflection_streams_end(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_receiver, "PROMPT_SECONDS", 0.1)
    monkeypatch.setattr(request_receiver, "TIMEOUT_SECONDS", 0.2)
    stream = silent_call(server, REFLECT.format("v1"))
    await stream.write(reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString())
    assert await stream.read()
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK


async def test_few_messages_may_be_slow_at_once(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_receiver, "PROMPT_SECONDS", 0.2)
    monkeypatch.setattr(request_receiver, "TIMEOUT_SECONDS", 1.5)

    async def ended(stream: "grpc.aio.StreamStreamCall[bytes, bytes]") -> tuple[str, float]:
        began = time.perf_counter()
        return await reason_of(stream.read()), time.perf_counter() - began

    outcomes = await asyncio.gather(*(ended(silent_call(server, GET)) for _ in range(40)))
    waited_for = [seconds for reason, seconds in outcomes if reason == "MALFORMED_REQUEST"]
    refused_at_once = [seconds for reason, seconds in outcomes if reason == "OVERLOADED"]
    assert (len(waited_for), len(refused_at_once)) == (request_receiver.MAX_SLOW, 40 - request_receiver.MAX_SLOW)
    assert max(refused_at_once) < 1.5 <= min(waited_for)
    # Those have ended: there is room again.
    assert (await ended(silent_call(server, GET)))[0] == "MALFORMED_REQUEST"


async def test_silent_anonymous_callers_give_way_to_new_ones(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_receiver, "PROMPT_SECONDS", 5.0)
    silent = [asyncio.ensure_future(reason_of(silent_call(server, CHECK).read())) for _ in range(90)]
    await asyncio.sleep(1.0)
    assert [one.result() for one in silent if one.done()] == ["OVERLOADED"] * (
        90 - request_receiver.MAX_CONCURRENT_ANONYMOUS
    )
    for _ in range(request_receiver.MAX_CONCURRENT_ANONYMOUS):
        assert await call(server.channel, CHECK, health_pb2.HealthCheckRequest().SerializeToString()) is None
    for one in silent:
        one.cancel()


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize("rpc", [CHECK, WATCH, REFLECT.format("v1"), REFLECT.format("v1alpha")])
async def test_malformed_requests_to_health_and_reflection(server: RunningServer, rpc: str, name: str) -> None:
    error = await call(server.channel, rpc, GARBAGE[name])
    if GARBAGE[name] is None and "reflection" in rpc:
        # A stream of requests may be empty.
        assert error is None
    else:
        assert list(broken_promises(malformed(rpc, name, GARBAGE[name]), error)) == []


async def test_names_for_health_and_reflection_have_a_limit(server: RunningServer) -> None:
    for rpc in (CHECK, WATCH):
        request = health_pb2.HealthCheckRequest(service="x" * 5_000)
        error = await call(server.channel, rpc, request.SerializeToString())
        row = Row(
            name="long",
            rpc=rpc,
            request=request,
            code=grpc.StatusCode.RESOURCE_EXHAUSTED,
            reason="REQUEST_TOO_LARGE",
        )
        assert list(broken_promises(row, error)) == []
