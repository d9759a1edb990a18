"""Streams of traces: the part of TraceService that searches, imports, exports and watches."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from commontrace.core.events.watch import EventWatch
from commontrace.core.search.result import fetch_batches
from commontrace.core.search.service import SearchService
from commontrace.core.traces import export as trace_export
from commontrace.domain.errors import QueryOfAnotherModel
from commontrace.embeddings.active_model import ActiveModel
from commontrace.rpc.access import CallAccess, stream_reads
from commontrace.rpc.call import Context
from commontrace.rpc.deadlines import deadline_of
from commontrace.rpc.messages import exports, searches, traces
from commontrace.rpc.shutdown import ShutdownSignal
from commontrace.rpc.streams import exports as export_stream
from commontrace.rpc.streams import hits as hit_stream
from commontrace.rpc.streams import watch as watch_stream
from commontrace.rpc.streams.imports import Importer
from commontrace.rpc.validation import search_rules
from commontrace.storage.database import Database
from commontrace.v1 import trace_event_pb2, trace_export_pb2, trace_import_pb2
from commontrace.v1 import trace_service_pb2 as pb


class TraceStreams:
    """The RPCs that answer with a stream. Each closes what it iterates over as soon as its caller leaves."""

    _database: Database
    _access: CallAccess
    _model: ActiveModel
    _searches: SearchService
    _importer: Importer
    _event_watch: EventWatch
    _shutdown: ShutdownSignal

    async def SearchTraces(
        self, request: pb.SearchTracesRequest, context: Context
    ) -> AsyncIterator[pb.SearchTracesResponse]:
        """Streams the nearest traces; the last message carries the summary."""
        deadline = deadline_of(context)
        try:
            result = await self._searches.search(
                searches.search(request), await self._access.resolve(), deadline=deadline
            )
        except QueryOfAnotherModel:
            search_rules.refuse_vector(request, self._model.info)
            raise
        stream_reads(result.trace_filter.namespaces)
        batches = fetch_batches(
            result,
            searches.batch_size(request),
            full=traces.is_full(request.view),
            deadline=deadline,
            database=self._database,
        )
        async with aclosing(hit_stream.stream(request, result, batches)) as responses:
            async for response in responses:
                yield response

    async def ImportTraces(
        self, requests: AsyncIterator[trace_import_pb2.ImportTracesRequest], _context: Context
    ) -> AsyncIterator[trace_import_pb2.ImportTracesResponse]:
        """Stores many traces, and acknowledges each message when its traces are durable."""
        async with aclosing(self._importer.acknowledge(requests)) as responses:
            async for response in responses:
                yield response

    async def ExportTraces(
        self, request: trace_export_pb2.ExportTracesRequest, _context: Context
    ) -> AsyncIterator[trace_export_pb2.ExportTracesResponse]:
        """Streams traces as records, oldest first."""
        model = self._model.info
        export = await trace_export.create_export(
            exports.trace_filter(request),
            await self._access.resolve(),
            with_embeddings=request.include_embeddings,
            database=self._database,
            model=model,
        )
        stream_reads(export.trace_filter.namespaces)
        async with aclosing(
            export_stream.stream(request, export, self._shutdown, model_id=model.model_id)
        ) as responses:
            async for response in responses:
                yield response

    async def WatchTraces(
        self, request: trace_event_pb2.WatchTracesRequest, _context: Context
    ) -> AsyncIterator[trace_event_pb2.WatchTracesResponse]:
        """Streams the events of traces."""
        async with aclosing(watch_stream.stream(request, self._event_watch, self._access, self._shutdown)) as responses:
            async for response in responses:
                yield response
