"""Revocation: with two servers on one database, access ends on both within 4 seconds, and streams with the reason."""

import asyncio
from contextlib import suppress
from typing import Any
from uuid import uuid4

import grpc
import pytest

from commontrace.v1 import trace_export_pb2, trace_import_pb2
from commontrace.v1 import trace_service_pb2 as pb
from tests.contract.callers import reason_of
from tests.contract.imports.imports import a_record, message
from tests.contract.namespaces.pairs import Pair, calls, end_of, refused_after, within
from tests.contract.namespaces.revocations import KINDS, Revocable, revocable
from tests.contract.namespaces.world import Gateway

_WITHIN_SECONDS = 4.0
_TRACES = 60
_SENT_AHEAD = 40
"""Messages of 300 KB that the transport may hold at most, when the reader has read one."""


@pytest.mark.parametrize("kind", KINDS)
async def test_calls_are_refused_within_four_seconds_by_both_servers(pair: Pair, kind: str) -> None:
    lost = await revocable(pair.first, pair.owner, kind)
    for server in pair.both:
        assert [await reason_of(call) for call in calls(server, lost).values()] == ["OK", "OK"]
    await lost.revoke()
    for seconds in await asyncio.gather(*(refused_after(server, lost) for server in pair.both)):
        assert seconds < _WITHIN_SECONDS


async def test_calls_are_refused_within_four_seconds_where_no_server_hears_of_it(pair: Pair) -> None:
    lost = await revocable(pair.first, pair.owner, "member removed")
    for server in pair.both:
        assert [await reason_of(call) for call in calls(server, lost).values()] == ["OK", "OK"]
    # Without a notification, as where the connections that listen are lost.
    await pair.first.beside.execute(
        "DELETE FROM namespace_members USING users WHERE users.id = user_id AND email = $1", lost.reader_email
    )
    for seconds in await asyncio.gather(*(refused_after(server, lost) for server in pair.both)):
        assert seconds < _WITHIN_SECONDS + 0.5


def _search(server: Gateway, lost: Revocable) -> Any:
    request = pb.SearchTracesRequest(text="a problem", limit=1_000, batch_size=1, filter=within(lost))
    return server.traces.SearchTraces(request, metadata=lost.reader, timeout=60)


def _search_everywhere(server: Gateway, lost: Revocable) -> Any:
    request = pb.SearchTracesRequest(text="a problem", limit=1_000, batch_size=1)
    return server.traces.SearchTraces(request, metadata=lost.reader, timeout=60)


def _export(server: Gateway, lost: Revocable) -> Any:
    request = trace_export_pb2.ExportTracesRequest(batch_size=1, filter=within(lost))
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
        await refused_after(server, lost)
    for begin, stream in streams:
        reason, count = await end_of(stream)
        # An export of a namespace without traces has nothing more to send.
        due = {lost.reason, "OK"} if kind == "deleted" and begin in (_export, _export_everything) else {lost.reason}
        assert reason in due
        assert count < _SENT_AHEAD


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
        await refused_after(server, lost)
    for number, stream in enumerate(streams, start=3):
        # The stream may have ended before.
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await stream.write(requests(number))
            await stream.done_writing()
        if is_of_the_stream or kind == "key revoked":
            assert (await end_of(stream))[0] == lost.reason
        else:
            [result] = (await stream.read()).results
            assert "NAMESPACE_NOT_FOUND" in result.error.message
