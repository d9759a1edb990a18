# Generated from the asynchronous client by `make generate`. Do not edit.
"""Reads and searches of traces: calls of TraceService that change nothing."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import takewhile
from uuid import UUID

from commontrace.client.requests import Ranking, SearchQuery, reject_single_string, search_request, view_of
from commontrace.client.search_hits import SearchHits
from commontrace.client.streams.search_progress import SearchProgress
from commontrace.client.sync.pages import PagedCalls
from commontrace.client.sync.search_stream import SearchStream
from commontrace.v1 import error_reason_pb2, trace_filter_pb2, trace_pb2, trace_service_pb2

_TRACES_A_CALL = 100
"""The contract's limit of ids in one BatchGetTraces."""


class ReadCalls(PagedCalls):
    """Calls that read and search traces."""

    def service_info(self) -> trace_service_pb2.GetServiceInfoResponse:
        """Returns the server's version, model and limits, and the caller."""
        return self._call(self._traces.GetServiceInfo, trace_service_pb2.GetServiceInfoRequest())

    def get(self, trace_id: str | UUID, *, full: bool = True) -> trace_pb2.Trace:
        """Returns a trace; without `full`, its context and solution are empty."""
        request = trace_service_pb2.GetTraceRequest(trace_id=str(trace_id), view=view_of(full=full))
        response = self._call(self._traces.GetTrace, request)
        return response.trace

    def get_many(self, trace_ids: Iterable[str | UUID], *, full: bool = True) -> Sequence[trace_pb2.Trace | None]:
        """Returns the trace of each id, in order, None for an unknown one. Makes a call for every 100 ids, or more."""
        ids = [str(trace_id) for trace_id in reject_single_string("trace_ids", trace_ids)]
        found: list[trace_pb2.Trace | None] = []
        while len(found) < len(ids):
            request = trace_service_pb2.BatchGetTracesRequest(
                trace_ids=ids[len(found) : len(found) + _TRACES_A_CALL], view=view_of(full=full)
            )
            response = self._call(self._traces.BatchGetTraces, request)
            answered = takewhile(_is_answered, response.items)
            found.extend(item.trace if item.HasField("trace") else None for item in answered)
        return found

    def list(
        self,
        filter: trace_filter_pb2.TraceFilter | None = None,  # noqa: A002 - the contract's name
        *,
        full: bool = False,
        show_deleted: bool = False,
        page_size: int = 0,
    ) -> Iterator[trace_pb2.Trace]:
        """Yields all traces that pass the filter, newest first.

        With `show_deleted`, these are the caller's own, deleted ones too. `page_size` is the number of traces that one
        call fetches.
        """
        request = trace_service_pb2.ListTracesRequest(
            filter=filter, view=view_of(full=full), show_deleted=show_deleted, page_size=page_size
        )
        for page in self._pages(self._traces.ListTraces, request):
            yield from page.traces

    def history(self, trace_id: str | UUID, *, full: bool = False) -> Iterator[trace_service_pb2.TraceRevision]:
        """Yields the revisions of a trace, newest first; without `full`, their context and solution are empty."""
        request = trace_service_pb2.ListTraceRevisionsRequest(trace_id=str(trace_id), view=view_of(full=full))
        for page in self._pages(self._traces.ListTraceRevisions, request):
            yield from page.revisions

    def search(
        self,
        query: SearchQuery,
        *,
        limit: int = 10,
        full: bool = True,
        filter: trace_filter_pb2.TraceFilter | None = None,  # noqa: A002 - the contract's name
        min_similarity: float | None = None,
        min_probability: float = 0.0,
        exact: bool = False,
        ranking: Ranking | None = None,
        explain: bool = False,
    ) -> SearchHits:
        """Returns the traces that answer the query and pass the filter, in the order of the `ranking`.

        `query` is a text, the id of a trace to find similar ones, or a vector (see `vector`). `exact` compares every
        trace instead of using the index. The ranking "cosine" orders by similarity; "trust_weighted" adds votes,
        "hybrid" adds full-text matches, "best" is the best order of a text that the server has. All but "cosine" are
        for a `limit` of at most 100. By default, None, a text is ranked "best", and "hybrid" by an older server; a
        text with a larger `limit`, a trace and a vector are ranked "cosine" (ADR 0059). `explain` sets the explanation
        of each hit. Where the summary's `answer_probability` is below `min_probability`, there are no hits; that needs
        a text.
        """
        hits = SearchHits()
        stream = self.search_stream(
            query,
            limit=limit,
            full=full,
            filter=filter,
            min_similarity=min_similarity,
            min_probability=min_probability,
            exact=exact,
            ranking=ranking,
            explain=explain,
        )
        with stream:
            for hit in stream:
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
        min_probability: float = 0.0,
        exact: bool = False,
        ranking: Ranking | None = None,
        explain: bool = False,
        batch_size: int = 0,
    ) -> SearchStream:
        """Returns an iterator over the hits of `search` as they arrive, with one message in memory.

        `batch_size` is the largest number of hits in one message. The deadline covers the whole search, from the first
        `next` to the last hit. Where the connection breaks, the search resumes after the last hit: on unchanged data no
        hit is repeated or missed, but one that the index overlooked before may then follow less similar ones.
        """
        request = search_request(
            query,
            limit=limit,
            full=full,
            trace_filter=filter,
            min_similarity=min_similarity,
            min_probability=min_probability,
            exact=exact,
            ranking=ranking,
            explain=explain,
            batch_size=batch_size,
        )
        open_stream = partial(self._responses, self._traces.SearchTraces)
        return SearchStream(open_stream, SearchProgress(request, self._options))


def _is_answered(item: trace_service_pb2.BatchGetTracesItem) -> bool:
    return item.error.reason != error_reason_pb2.ERROR_REASON_RESPONSE_TOO_LARGE
