"""TraceService: unpack, one call, pack."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from uuid import UUID

import commontrace
from commontrace.core.events.watch import EventWatch
from commontrace.core.search.result import fetch_batches
from commontrace.core.search.service import SearchService
from commontrace.core.traces import create as contributing
from commontrace.core.traces import delete as deleting
from commontrace.core.traces import export as exporting
from commontrace.core.traces import listing
from commontrace.core.traces import update as editing
from commontrace.domain.errors import QueryOfAnotherModel, TraceNotFound
from commontrace.embeddings.active_model import ActiveModel
from commontrace.rpc.call import Context, current_caller
from commontrace.rpc.deadlines import deadline_of
from commontrace.rpc.idempotency import IdempotentWrites, Write
from commontrace.rpc.messages import exports, filters, info, lists, searches, traces
from commontrace.rpc.paging import pages
from commontrace.rpc.paging.page_tokens import BY_REVISION, NEWEST_FIRST, page_size
from commontrace.rpc.scopes import scope_messages
from commontrace.rpc.servicers.moderation import Moderation
from commontrace.rpc.shutdown import ShutdownSignal
from commontrace.rpc.streams import exports as export_stream
from commontrace.rpc.streams import hits
from commontrace.rpc.streams import watch as watching
from commontrace.rpc.streams.imports import Importer
from commontrace.rpc.validation import search_rules
from commontrace.storage.database import Database
from commontrace.storage.keyset import Cursor
from commontrace.storage.unit_of_work import UnitOfWork
from commontrace.v1 import (
    trace_event_pb2,
    trace_export_pb2,
    trace_import_pb2,
    trace_pb2,
    trace_service_pb2,
    trace_service_pb2_grpc,
)


class TraceServicer(Moderation, trace_service_pb2_grpc.TraceServiceServicer):
    """Contributes, reads and searches traces."""

    def __init__(
        self,
        database: Database,
        model: ActiveModel,
        writes: IdempotentWrites,
        importer: Importer,
        stopping: ShutdownSignal,
        events: EventWatch,
        *,
        validation_threshold: int,
    ) -> None:
        """Takes where traces are, how texts are encoded, when streams end, what is told of events and of votes."""
        self._database = database
        self._writes = writes
        self._importer = importer
        self._stopping = stopping
        self._watching = events
        self._validation_threshold = validation_threshold
        self._model = model
        self._searches = SearchService(database, model)

    async def GetServiceInfo(
        self, _request: trace_service_pb2.GetServiceInfoRequest, _context: Context
    ) -> trace_service_pb2.GetServiceInfoResponse:
        """Describes the server."""
        caller = current_caller()
        user_id = await self._database.read(lambda reading: reading.users.get_id(caller.email))
        return trace_service_pb2.GetServiceInfoResponse(
            version=commontrace.__version__,
            embedding_model=info.embedding_model_message(self._model.info),
            limits=info.limits_message(),
            caller=trace_service_pb2.Caller(
                user_id=str(user_id or ""),
                email=caller.email,
                scopes=scope_messages(caller.scopes),
            ),
            validation_threshold=self._validation_threshold,
        )

    async def CreateTrace(
        self, request: trace_service_pb2.CreateTraceRequest, context: Context
    ) -> trace_service_pb2.CreateTraceResponse:
        """Stores a trace."""
        dry_run, deadline = request.validate_only, deadline_of(context)

        async def prepare() -> Write[trace_service_pb2.CreateTraceResponse]:
            prepared = await contributing.prepare(
                traces.contribution(request),
                on_duplicate=traces.on_duplicate(request.on_duplicate),
                supersedes_id=traces.optional_id(request.supersedes_trace_id),
                database=self._database,
                embedder=self._model.embedder,
                deadline=deadline,
            )

            async def write(work: UnitOfWork, caller_id: UUID) -> trace_service_pb2.CreateTraceResponse:
                return traces.contributed_message(await prepared.store(work, caller_id), is_stored=not dry_run)

            return write

        return await self._writes.answer_prepared(
            request, trace_service_pb2.CreateTraceResponse, prepare, dry_run=dry_run
        )

    async def UpdateTrace(
        self, request: trace_service_pb2.UpdateTraceRequest, context: Context
    ) -> trace_service_pb2.UpdateTraceResponse:
        """Edits a trace."""
        deadline = deadline_of(context)

        async def prepare() -> Write[trace_service_pb2.UpdateTraceResponse]:
            prepared = await editing.prepare(
                traces.edit(request),
                current_caller().email,
                database=self._database,
                embedder=self._model.embedder,
                deadline=deadline,
            )

            async def write(work: UnitOfWork, caller_id: UUID) -> trace_service_pb2.UpdateTraceResponse:
                return traces.edited_message(await prepared.store(work, caller_id))

            return write

        return await self._writes.answer_prepared(request, trace_service_pb2.UpdateTraceResponse, prepare)

    async def DeleteTrace(
        self, request: trace_service_pb2.DeleteTraceRequest, _context: Context
    ) -> trace_service_pb2.DeleteTraceResponse:
        """Deletes a trace."""

        async def write(work: UnitOfWork, caller_id: UUID) -> trace_service_pb2.DeleteTraceResponse:
            deleted = await deleting.delete(UUID(request.trace_id), request.etag, work, caller_id)
            return trace_service_pb2.DeleteTraceResponse(trace=traces.trace_message(deleted))

        return await self._writes.answer(request, trace_service_pb2.DeleteTraceResponse, write)

    async def UndeleteTrace(
        self, request: trace_service_pb2.UndeleteTraceRequest, _context: Context
    ) -> trace_service_pb2.UndeleteTraceResponse:
        """Brings a trace back."""

        async def write(work: UnitOfWork, caller_id: UUID) -> trace_service_pb2.UndeleteTraceResponse:
            trace = await deleting.undelete(UUID(request.trace_id), work, caller_id)
            return trace_service_pb2.UndeleteTraceResponse(trace=traces.trace_message(trace))

        return await self._writes.answer(request, trace_service_pb2.UndeleteTraceResponse, write)

    async def GetTrace(
        self, request: trace_service_pb2.GetTraceRequest, _context: Context
    ) -> trace_service_pb2.GetTraceResponse:
        """Returns one trace."""
        trace_id, full = UUID(request.trace_id), traces.is_full(request.view)
        trace = await self._database.read(lambda reading: reading.traces.get(trace_id, full=full))
        if trace is None:
            raise TraceNotFound(trace_id)
        return trace_service_pb2.GetTraceResponse(trace=traces.trace_message(trace))

    async def BatchGetTraces(
        self, request: trace_service_pb2.BatchGetTracesRequest, _context: Context
    ) -> trace_service_pb2.BatchGetTracesResponse:
        """Returns several traces."""
        trace_ids, full = list(map(UUID, request.trace_ids)), traces.is_full(request.view)

        async def fetch(some: Sequence[UUID]) -> dict[UUID, trace_service_pb2.BatchGetTracesItem]:
            found = await self._database.read(lambda reading: reading.traces.get_many(some, full=full))
            return lists.batch_items(some, found)

        page = await pages.filled(trace_ids, len(trace_ids), fetch)
        left_out = lists.too_large_items(trace_ids[len(page.items) :])
        return trace_service_pb2.BatchGetTracesResponse(items=[*page.items, *left_out])

    async def ListTraces(
        self, request: trace_service_pb2.ListTracesRequest, _context: Context
    ) -> trace_service_pb2.ListTracesResponse:
        """Lists traces."""
        size, full = page_size(request.page_size), lists.is_full(request.view)
        listed = await listing.find_positions(
            filters.trace_filter_of(request.filter),
            owner_email=current_caller().email if request.show_deleted else None,
            after=NEWEST_FIRST.position(request),
            size=size + 1,
            database=self._database,
        )

        async def fetch(some: Sequence[Cursor]) -> dict[Cursor, trace_pb2.Trace]:
            rows = await listing.load_traces(some, of=listed, full=full, database=self._database)
            return {position: traces.trace_message(row) for position, row in rows.items()}

        page = await pages.filled(listed.positions, size, fetch)
        return trace_service_pb2.ListTracesResponse(
            traces=page.items,
            next_page_token=NEWEST_FIRST.next_token(request, page.next_after),
            unknown_tags=listed.trace_filter.unknown_tags,
        )

    async def ListTraceRevisions(
        self, request: trace_service_pb2.ListTraceRevisionsRequest, _context: Context
    ) -> trace_service_pb2.ListTraceRevisionsResponse:
        """Lists the revisions of a trace."""
        trace_id, full = UUID(request.trace_id), lists.is_full(request.view)
        size = page_size(request.page_size)
        numbers = await listing.list_revisions(
            trace_id, before=BY_REVISION.position(request), size=size + 1, database=self._database
        )

        async def fetch(some: Sequence[int]) -> dict[int, trace_service_pb2.TraceRevision]:
            rows = await self._database.read(lambda reading: reading.revisions.get_many(trace_id, some, full=full))
            return {number: lists.revision_message(row) for number, row in rows.items()}

        page = await pages.filled(numbers, size, fetch)
        return trace_service_pb2.ListTraceRevisionsResponse(
            revisions=page.items, next_page_token=BY_REVISION.next_token(request, page.next_after)
        )

    async def SearchTraces(
        self, request: trace_service_pb2.SearchTracesRequest, context: Context
    ) -> AsyncIterator[trace_service_pb2.SearchTracesResponse]:
        """Streams the nearest traces, and a summary with the last of them."""
        deadline = deadline_of(context)
        try:
            result = await self._searches.search(searches.search(request), deadline=deadline)
        except QueryOfAnotherModel:
            search_rules.refuse_vector(request, self._model.info)
            raise
        batches = fetch_batches(
            result,
            searches.batch_size(request),
            full=traces.is_full(request.view),
            deadline=deadline,
            database=self._database,
        )
        responses = hits.stream(request, result, batches)
        async with aclosing(responses):
            async for response in responses:
                yield response

    async def ImportTraces(
        self, requests: AsyncIterator[trace_import_pb2.ImportTracesRequest], _context: Context
    ) -> AsyncIterator[trace_import_pb2.ImportTracesResponse]:
        """Stores many traces."""
        async with aclosing(self._importer.acknowledge(requests)) as responses:
            async for response in responses:
                yield response

    async def ExportTraces(
        self, request: trace_export_pb2.ExportTracesRequest, _context: Context
    ) -> AsyncIterator[trace_export_pb2.ExportTracesResponse]:
        """Streams traces as records."""
        model = self._model.info
        export = await exporting.create_export(
            exports.trace_filter(request),
            with_embeddings=request.include_embeddings,
            database=self._database,
            model=model,
        )
        responses = export_stream.stream(request, export, self._stopping, model_id=model.model_id)
        async with aclosing(responses):
            async for response in responses:
                yield response

    async def WatchTraces(
        self, request: trace_event_pb2.WatchTracesRequest, _context: Context
    ) -> AsyncIterator[trace_event_pb2.WatchTracesResponse]:
        """Tells what happens to traces."""
        async with aclosing(watching.stream(request, self._watching, self._stopping)) as responses:
            async for response in responses:
                yield response
