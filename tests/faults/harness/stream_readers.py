"""Clients of streams: ours, which goes on where a stream broke, and one that begins anew instead."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol
from uuid import uuid4

import grpc

from commontrace.client import Client
from commontrace.v1 import trace_event_pb2, trace_export_pb2, trace_filter_pb2, trace_record_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.contract.events.changes_followed import EventBatch, told_of
from tests.contract.imports.imports import message

_BROKEN = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
_PAUSE_SECONDS = 0.05
_SECONDS = 600.0
_BATCH_ITEMS = 10
Records = list[trace_record_pb2.TraceRecord]


class StreamReader(Protocol):
    """Reads each stream to its end, whatever breaks meanwhile."""

    watches: asyncio.Event
    """Set when it watches."""

    def search(self, text: str, tag: str) -> AsyncIterator[str]:
        """Yields the titles that a search finds under a tag."""

    def export(self, tag: str) -> AsyncIterator[str]:
        """Yields the titles of all traces with a tag."""

    def import_(self, records: Records) -> AsyncIterator[int]:
        """Yields the sequences whose traces are stored."""

    def watch(self) -> AsyncIterator[EventBatch]:
        """Yields what happens, for ever."""


class GoingOn:
    """Our client."""

    def __init__(self, client: Client) -> None:
        self._client = client.within(_SECONDS)
        self.watches = asyncio.Event()

    async def search(self, text: str, tag: str) -> AsyncIterator[str]:
        only = trace_filter_pb2.TraceFilter(tags_all=[tag])
        async with self._client.search_stream(text, limit=1000, filter=only, batch_size=_BATCH_ITEMS) as hits:
            async for hit in hits:
                yield hit.trace.title

    async def export(self, tag: str) -> AsyncIterator[str]:
        only = trace_filter_pb2.TraceFilter(tags_all=[tag])
        async for record in self._client.export_traces(only, batch_size=_BATCH_ITEMS):
            yield record.title

    async def import_(self, records: Records) -> AsyncIterator[int]:
        async for result in self._client.import_traces(records):
            yield result.sequence

    async def watch(self) -> AsyncIterator[EventBatch]:
        async with self._client.watch() as events:
            self.watches.set()
            async for event in events:
                yield told_of(event)


class BeginningAnew:
    """Client without page tokens, cursors and import ids: begins every broken stream anew."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._traces = TraceServiceStub(channel)
        self.watches = asyncio.Event()

    async def search(self, text: str, tag: str) -> AsyncIterator[str]:
        only = trace_filter_pb2.TraceFilter(tags_all=[tag])
        request = pb.SearchTracesRequest(text=text, limit=1000, filter=only, batch_size=_BATCH_ITEMS)
        async for response in _anew(lambda: self._traces.SearchTraces(request, wait_for_ready=True)):
            for hit in response.hits:
                yield hit.trace.title

    async def export(self, tag: str) -> AsyncIterator[str]:
        only = trace_filter_pb2.TraceFilter(tags_all=[tag])
        request = trace_export_pb2.ExportTracesRequest(filter=only, batch_size=_BATCH_ITEMS)
        async for response in _anew(lambda: self._traces.ExportTraces(request, wait_for_ready=True)):
            for record in response.traces:
                yield record.title

    async def import_(self, records: Records) -> AsyncIterator[int]:
        def begin() -> Any:
            import_id = str(uuid4())
            some = range(0, len(records), _BATCH_ITEMS)
            messages = [
                message(records[first : first + _BATCH_ITEMS], first=first + 1, import_id=import_id) for first in some
            ]
            return self._traces.ImportTraces(iter(messages), wait_for_ready=True)

        async for response in _anew(begin):
            for result in response.results:
                yield result.sequence

    async def watch(self) -> AsyncIterator[EventBatch]:
        request = trace_event_pb2.WatchTracesRequest()
        async for response in _anew(lambda: self._traces.WatchTraces(request, wait_for_ready=True)):
            self.watches.set()
            for event in response.events:
                yield told_of(event)


async def _anew(begin: Callable[[], Any]) -> AsyncIterator[Any]:
    while True:
        try:
            async for response in begin():
                yield response
        except grpc.aio.AioRpcError as error:
            # Where the server goes while grpc.aio is sending, it makes up a failure of its own.
            if error.code() not in _BROKEN | {grpc.StatusCode.INTERNAL}:
                raise
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            return
