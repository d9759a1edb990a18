"""Reads of traces by id and in pages: the part of TraceService that gets and lists."""

from collections.abc import Sequence
from uuid import UUID

from commontrace.core.traces import listing
from commontrace.domain.errors import TraceNotFound
from commontrace.domain.traces.trace_filter import everything_in
from commontrace.rpc.access import CallAccess
from commontrace.rpc.call import Context, current_caller
from commontrace.rpc.messages import filters, lists, traces
from commontrace.rpc.paging import pages
from commontrace.rpc.paging.page_tokens import BY_REVISION, NEWEST_FIRST, page_size
from commontrace.storage.database import Database
from commontrace.storage.keyset import Cursor
from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb


class TraceReads:
    """The RPCs that return traces and their revisions."""

    _database: Database
    _access: CallAccess

    async def GetTrace(self, request: pb.GetTraceRequest, _context: Context) -> pb.GetTraceResponse:
        """Returns one trace."""
        trace_id, full = UUID(request.trace_id), traces.is_full(request.view)
        namespaces = (await self._access.resolve()).readable
        trace = await self._database.read(lambda reading: reading.traces.get(trace_id, namespaces, full=full))
        if trace is None:
            raise TraceNotFound(trace_id)
        return pb.GetTraceResponse(trace=traces.trace_message(trace))

    async def BatchGetTraces(self, request: pb.BatchGetTracesRequest, _context: Context) -> pb.BatchGetTracesResponse:
        """Returns several traces; an error for each that is missing or does not fit into the response."""
        trace_ids, full = list(map(UUID, request.trace_ids)), traces.is_full(request.view)
        readable = everything_in((await self._access.resolve()).readable)

        async def fetch(some: Sequence[UUID]) -> dict[UUID, pb.BatchGetTracesItem]:
            found = await self._database.read(lambda reading: reading.traces.get_many(some, readable, full=full))
            return lists.batch_items(some, found)

        page = await pages.fill_page(trace_ids, len(trace_ids), fetch)
        left_out = lists.too_large_items(trace_ids[len(page.items) :])
        return pb.BatchGetTracesResponse(items=[*page.items, *left_out])

    async def ListTraces(self, request: pb.ListTracesRequest, _context: Context) -> pb.ListTracesResponse:
        """Returns a page of traces, newest first."""
        size, full = page_size(request.page_size), lists.is_full(request.view)
        # One more than the page has shows whether another page follows.
        listed = await listing.find_positions(
            filters.trace_filter_of(request.filter),
            await self._access.resolve(),
            owner_email=current_caller().email if request.show_deleted else None,
            after=NEWEST_FIRST.position(request),
            size=size + 1,
            database=self._database,
        )

        async def fetch(some: Sequence[Cursor]) -> dict[Cursor, trace_pb2.Trace]:
            rows = await listing.load_traces(some, of=listed, full=full, database=self._database)
            return {position: traces.trace_message(row) for position, row in rows.items()}

        page = await pages.fill_page(listed.positions, size, fetch)
        return pb.ListTracesResponse(
            traces=page.items,
            next_page_token=NEWEST_FIRST.next_token(request, page.next_after),
            unknown_tags=listed.trace_filter.unknown_tags,
        )

    async def ListTraceRevisions(
        self, request: pb.ListTraceRevisionsRequest, _context: Context
    ) -> pb.ListTraceRevisionsResponse:
        """Returns a page of the revisions of a trace."""
        trace_id, full = UUID(request.trace_id), lists.is_full(request.view)
        size, namespaces = page_size(request.page_size), (await self._access.resolve()).readable
        numbers = await listing.list_revisions(
            trace_id, namespaces, before=BY_REVISION.position(request), size=size + 1, database=self._database
        )

        async def fetch(some: Sequence[int]) -> dict[int, pb.TraceRevision]:
            rows = await self._database.read(
                lambda reading: reading.revisions.get_many(trace_id, some, namespaces, full=full)
            )
            return {number: lists.revision_message(row) for number, row in rows.items()}

        page = await pages.fill_page(numbers, size, fetch)
        return pb.ListTraceRevisionsResponse(
            revisions=page.items, next_page_token=BY_REVISION.next_token(request, page.next_after)
        )
