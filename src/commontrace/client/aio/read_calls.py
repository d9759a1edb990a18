"""Calls that read and search traces."""

from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial
from itertools import takewhile
from uuid import UUID

from commontrace.client.aio.pages import PagedCalls
from commontrace.client.aio.search_stream import SearchStream
from commontrace.client.requests import Ranking, SearchQuery, search_request, several, view_of
from commontrace.client.search_hits import SearchHits
from commontrace.client.streams.search_progress import SearchProgress
from commontrace.v1 import error_reason_pb2, trace_filter_pb2, trace_pb2, trace_service_pb2

_TRACES_A_CALL = 100
"""What the contract lets one BatchGetTraces ask for."""


class TraceReading(PagedCalls):
    """Calls that read and search traces."""

    async def service_info(self) -> trace_service_pb2.GetServiceInfoResponse:
        """Returns the server's description."""
        return await self._call(self._traces.GetServiceInfo, trace_service_pb2.GetServiceInfoRequest())

    async def get(self, trace_id: str | UUID, *, full: bool = True) -> trace_pb2.Trace:
        """Returns one trace; without `full`, its context and solution are empty."""
        request = trace_service_pb2.GetTraceRequest(trace_id=str(trace_id), view=view_of(full=full))
        response = await self._call(self._traces.GetTrace, request)
        return response.trace

    async def get_many(self, trace_ids: Iterable[str | UUID], *, full: bool = True) -> Sequence[trace_pb2.Trace | None]:
        """Returns one trace for each id, in their order, None where there is none; makes as many calls as it takes."""
        ids = [str(trace_id) for trace_id in several("trace_ids", trace_ids)]
        found: list[trace_pb2.Trace | None] = []
        while len(found) < len(ids):
            request = trace_service_pb2.BatchGetTracesRequest(
                trace_ids=ids[len(found) : len(found) + _TRACES_A_CALL], view=view_of(full=full)
            )
            response = await self._call(self._traces.BatchGetTraces, request)
            answered = takewhile(_is_answered, response.items)
            found.extend(item.trace if item.HasField("trace") else None for item in answered)
        return found

    async def list(
        self,
        filter: trace_filter_pb2.TraceFilter | None = None,  # noqa: A002 - the contract's name
        *,
        full: bool = False,
        show_deleted: bool = False,
        page_size: int = 0,
    ) -> AsyncIterator[trace_pb2.Trace]:
        """Yields traces, newest first, all that pass the filter.

        With `show_deleted`, they are the caller's own, deleted ones too. `page_size` is how many one call fetches.
        """
        request = trace_service_pb2.ListTracesRequest(
            filter=filter, view=view_of(full=full), show_deleted=show_deleted, page_size=page_size
        )
        async for page in self._pages(self._traces.ListTraces, request):
            for trace in page.traces:
                yield trace

    async def history(
        self, trace_id: str | UUID, *, full: bool = False
    ) -> AsyncIterator[trace_service_pb2.TraceRevision]:
        """Yields the revisions of a trace, newest first; without `full`, their context and solution are empty."""
        request = trace_service_pb2.ListTraceRevisionsRequest(trace_id=str(trace_id), view=view_of(full=full))
        async for page in self._pages(self._traces.ListTraceRevisions, request):
            for revision in page.revisions:
                yield revision

    async def search(
        self,
        query: SearchQuery,
        *,
        limit: int = 10,
        full: bool = True,
        filter: trace_filter_pb2.TraceFilter | None = None,  # noqa: A002 - the contract's name
        min_similarity: float | None = None,
        exact: bool = False,
        ranking: Ranking = "cosine",
        explain: bool = False,
    ) -> SearchHits:
        """Returns the nearest traces that pass the filter, most similar first, or in the order of another `ranking`.

        `query` is a text, the id of a trace to find others like it, or a vector (see `vector`). `exact` compares every
        trace instead of trusting the index. "trust_weighted" also goes by votes, "hybrid" also by the words of a text;
        both for a `limit` of at most 100. `explain` sets what each hit's place is made of.
        """
        hits = SearchHits()
        stream = self.search_stream(
            query,
            limit=limit,
            full=full,
            filter=filter,
            min_similarity=min_similarity,
            exact=exact,
            ranking=ranking,
            explain=explain,
        )
        async with stream:
            async for hit in stream:
                hits.append(hit)
        hits.summary = stream.summary
        return hits

    def search_stream(
        self,
        query: SearchQuery,
        *,
        limit: int = 10,
        full: bool = True,
        filter: trace_filter_pb2.TraceFilter | None = None,  # noqa: A002 - the contract's name
        min_similarity: float | None = None,
        exact: bool = False,
        ranking: Ranking = "cosine",
        explain: bool = False,
        batch_size: int = 0,
    ) -> SearchStream:
        """Returns an iterator over what `search` returns, which yields hits as they arrive and holds one message.

        `batch_size` is how many hits a message brings at most. The deadline is for the whole search, from the first hit
        asked for to the last one read. Where the connection breaks, the search goes on behind the last hit that
        arrived: on unchanged data none comes twice and none is missed, and one that the index had overlooked may follow
        less similar ones there.
        """
        request = search_request(
            query,
            limit=limit,
            full=full,
            trace_filter=filter,
            min_similarity=min_similarity,
            exact=exact,
            ranking=ranking,
            explain=explain,
            batch_size=batch_size,
        )
        open_stream = partial(self._responses, self._traces.SearchTraces)
        return SearchStream(open_stream, SearchProgress(request, self._options))


def _is_answered(item: trace_service_pb2.BatchGetTracesItem) -> bool:
    return item.error.reason != error_reason_pb2.ERROR_REASON_RESPONSE_TOO_LARGE
