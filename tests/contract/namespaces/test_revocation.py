"""Revocation: with two servers on one database, access ends on both within 4 seconds, and streams with the reason."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Any
from uuid import uuid4

import grpc
import pytest

from commontrace.domain.namespaces.namespace import Role
from commontrace.embeddings.embedder import Embedder
from commontrace.v1 import namespace_service_pb2, trace_event_pb2, trace_export_pb2, trace_import_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.contract.callers import reason_of
from tests.contract.imports.imports import a_record, message
from tests.contract.namespaces.revocations import KINDS, Revocable, revocable
from tests.contract.namespaces.world import Gateway, a_bound_key, gateway, set_member
from tests.support.builders import a_contribution
from tests.support.keys import Metadata

_WITHIN_SECONDS = 4.0
_WATCH_ENDS_WITHIN_SECONDS = 10.0
_TRACES = 60
_SENT_AHEAD = 40
"""Messages of 300 KB that the transport may hold at most, when the reader has read one."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two servers on one database. Changes are made by the first."""

    first: Gateway
    second: Gateway
    owner: Metadata

    @property
    def both(self) -> tuple[Gateway, Gateway]:
        return self.first, self.second


@pytest.fixture
async def pair(database_url: str, embedder: Embedder) -> AsyncIterator[Pair]:
    async with gateway(database_url, embedder) as first, gateway(database_url, embedder) as second:
        yield Pair(first=first, second=second, owner=await a_bound_key(first.database, "root@example.org"))


def _within(lost: Revocable) -> TraceFilter:
    return TraceFilter(namespaces=[lost.name])


def _calls(server: Gateway, lost: Revocable) -> dict[str, Any]:
    """Unary calls by the reason that they fail with once the namespace is lost."""
    request = namespace_service_pb2.GetNamespaceRequest(name=lost.name)
    return {
        "NAMESPACE_NOT_FOUND": server.namespaces.GetNamespace(request, metadata=lost.reader),
        "TRACE_NOT_FOUND": server.traces.GetTrace(pb.GetTraceRequest(trace_id=lost.trace_id), metadata=lost.reader),
    }


async def _refused_after(server: Gateway, lost: Revocable) -> float:
    """Seconds until the server refuses the reader's calls, each for its reason."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    while True:
        reasons = {due: await reason_of(call) for due, call in _calls(server, lost).items()}
        if all(reason in (due, "INVALID_KEY") for due, reason in reasons.items()):
            return clock() - begun
        # Nothing but what it was, and what it has to be.
        assert set(reasons.values()) <= {"OK", *reasons}, reasons
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", KINDS)
async def test_calls_are_refused_within_four_seconds_by_both_servers(pair: Pair, kind: str) -> None:
    lost = await revocable(pair.first, pair.owner, kind)
    for server in pair.both:
        assert [await reason_of(call) for call in _calls(server, lost).values()] == ["OK", "OK"]
    await lost.revoke()
    for seconds in await asyncio.gather(*(_refused_after(server, lost) for server in pair.both)):
        assert seconds < _WITHIN_SECONDS


async def test_calls_are_refused_within_four_seconds_where_no_server_hears_of_it(pair: Pair) -> None:
    lost = await revocable(pair.first, pair.owner, "member removed")
    for server in pair.both:
        assert [await reason_of(call) for call in _calls(server, lost).values()] == ["OK", "OK"]
    # Without a notification, as where the connections that listen are lost.
    await pair.first.beside.execute(
        "DELETE FROM namespace_members USING users WHERE users.id = user_id AND email = $1", lost.reader_email
    )
    for seconds in await asyncio.gather(*(_refused_after(server, lost) for server in pair.both)):
        assert seconds < _WITHIN_SECONDS + 0.5


async def _end_of(stream: Any) -> tuple[str, int]:
    """How a stream ends, and how many more messages come before."""
    count = 0

    async def read() -> None:
        nonlocal count
        while await stream.read() is not grpc.aio.EOF:
            count += 1

    return await reason_of(read()), count


def _search(server: Gateway, lost: Revocable) -> Any:
    request = pb.SearchTracesRequest(text="a problem", limit=1_000, batch_size=1, filter=_within(lost))
    return server.traces.SearchTraces(request, metadata=lost.reader, timeout=60)


def _search_everywhere(server: Gateway, lost: Revocable) -> Any:
    request = pb.SearchTracesRequest(text="a problem", limit=1_000, batch_size=1)
    return server.traces.SearchTraces(request, metadata=lost.reader, timeout=60)


def _export(server: Gateway, lost: Revocable) -> Any:
    request = trace_export_pb2.ExportTracesRequest(batch_size=1, filter=_within(lost))
    return server.traces.ExportTraces(request, metadata=lost.reader, timeout=60)


def _export_everything(server: Gateway, lost: Revocable) -> Any:
    return server.traces.ExportTraces(
        trace_export_pb2.ExportTracesRequest(batch_size=1), metadata=lost.reader, timeout=60
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_streams_end_before_the_next_message(pair: Pair, kind: str) -> None:
    lost = await revocable(pair.first, pair.owner, kind, traces=_TRACES)
    streams = [
        (begin, begin(server, lost))
        for server in pair.both
        for begin in (_search, _search_everywhere, _export, _export_everything)
    ]
    for _, stream in streams:
        assert await stream.read() is not grpc.aio.EOF
    await lost.revoke()
    for server in pair.both:
        await _refused_after(server, lost)
    for begin, stream in streams:
        reason, count = await _end_of(stream)
        # An export of a namespace without traces has nothing more to send.
        due = {lost.reason, "OK"} if kind == "deleted" and begin in (_export, _export_everything) else {lost.reason}
        assert reason in due
        assert count < _SENT_AHEAD


@pytest.mark.parametrize("kind", KINDS)
async def test_a_watch_ends_before_the_next_event(pair: Pair, kind: str) -> None:
    lost = await revocable(pair.first, pair.owner, kind)
    watches = [
        server.traces.WatchTraces(trace_event_pb2.WatchTracesRequest(), metadata=lost.reader, timeout=60)
        for server in pair.both
    ]
    for watch in watches:
        await watch.read()
    await lost.revoke()
    for server in pair.both:
        await _refused_after(server, lost)
    # In `commons`, which the reader still reads.
    await pair.first.traces.CreateTrace(a_contribution(1), metadata=pair.owner)
    for watch in watches:
        reason, count = await _end_of(watch)
        # Before a namespace is deleted, its traces are purged.
        assert (reason, count) == (lost.reason, 0) or (kind == "deleted" and reason == lost.reason)


async def test_a_watch_ends_when_a_namespace_is_lost_that_was_gained_meanwhile(pair: Pair) -> None:
    lost = await revocable(pair.first, pair.owner, "member removed")
    await lost.revoke()
    await asyncio.gather(*(_refused_after(server, lost) for server in pair.both))
    watches = [
        server.traces.WatchTraces(trace_event_pb2.WatchTracesRequest(), metadata=lost.reader, timeout=60)
        for server in pair.both
    ]
    for watch in watches:
        await watch.read()
    await set_member(pair.first, pair.owner, lost.name, lost.reader_email, Role.READER)
    await asyncio.sleep(0.2)
    await pair.first.traces.CreateTrace(a_contribution(1, namespace=lost.name), metadata=pair.owner)
    for watch in watches:
        assert [event.namespace for event in (await watch.read()).events] == [lost.name]
    await lost.revoke()
    await asyncio.gather(*(_refused_after(server, lost) for server in pair.both))
    await pair.first.traces.CreateTrace(a_contribution(2), metadata=pair.owner)
    assert [await _end_of(watch) for watch in watches] == [("NAMESPACE_NOT_FOUND", 0)] * 2


@pytest.mark.slow
async def test_a_watch_ends_within_ten_seconds_though_nothing_happens(pair: Pair) -> None:
    everything = [await revocable(pair.first, pair.owner, kind) for kind in KINDS]
    watches = []
    for lost in everything:
        for server, trace_filter in product(pair.both, (_within(lost), None)):
            request = trace_event_pb2.WatchTracesRequest(filter=trace_filter)
            watch = server.traces.WatchTraces(request, metadata=lost.reader, timeout=60)
            watches.append((lost, trace_filter is not None, watch))
            await watch.read()
    for lost in everything:
        await lost.revoke()
    clock = asyncio.get_running_loop().time
    begun = clock()

    async def end(watch: Any) -> tuple[str, float]:
        reason, _ = await _end_of(watch)
        return reason, clock() - begun

    ends = await asyncio.gather(*(end(watch) for _, __, watch in watches))
    for (reason, _), (lost, is_narrow, _) in zip(ends, watches, strict=True):
        # Everybody who reads everything loses the one that is made private.
        assert reason == lost.reason or (reason == "NAMESPACE_NOT_FOUND" and not is_narrow)
    assert max(seconds for _, seconds in ends) < _WATCH_ENDS_WITHIN_SECONDS + 0.5


@pytest.mark.parametrize("kind", ["member removed", "deleted", "key revoked"])
@pytest.mark.parametrize("is_of_the_stream", [True, False])
async def test_an_import_stores_nothing_afterwards(pair: Pair, kind: str, *, is_of_the_stream: bool) -> None:
    lost = await revocable(pair.first, pair.owner, kind)
    writes = "UPDATE namespace_members SET role = 'writer' FROM users WHERE users.id = user_id AND email = $1"
    await pair.first.beside.execute(writes, lost.reader_email)
    await pair.first.beside.execute("SELECT pg_notify('commontrace_namespaces', '')")
    await asyncio.sleep(0.2)

    def requests(number: int, **fields: str) -> trace_import_pb2.ImportTracesRequest:
        request = message([a_record(number, namespace=lost.name)], first=number, **fields)
        if is_of_the_stream:
            request.namespace = lost.name
        return request

    streams = [server.traces.ImportTraces(metadata=lost.reader, timeout=60) for server in pair.both]
    for number, stream in enumerate(streams, start=1):
        await stream.write(requests(number, import_id=str(uuid4())))
        assert (await stream.read()).results[0].WhichOneof("outcome") == "created_trace_id"
    await lost.revoke()
    for server in pair.both:
        await _refused_after(server, lost)
    for number, stream in enumerate(streams, start=3):
        # The stream may have ended before.
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await stream.write(requests(number))
            await stream.done_writing()
        if is_of_the_stream or kind == "key revoked":
            assert (await _end_of(stream))[0] == lost.reason
        else:
            [result] = (await stream.read()).results
            assert "NAMESPACE_NOT_FOUND" in result.error.message
