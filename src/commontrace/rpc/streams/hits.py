"""Search hits cut into messages that every client can receive."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from commontrace.core.search.batches import Batch, Hit
from commontrace.core.search.result import SearchResult
from commontrace.domain.search.neighbours import Neighbour
from commontrace.domain.search.query import StopReason
from commontrace.rpc.messages import searches
from commontrace.rpc.paging.response_budget import ResponseBudget
from commontrace.v1 import trace_service_pb2

# After the others, nothing follows, or, with the deadline near, nothing that is known for sure.
_RESUMABLE = (None, StopReason.LIMIT)


async def stream(
    request: trace_service_pb2.SearchTracesRequest, found: SearchResult, batches: AsyncGenerator[Batch]
) -> AsyncGenerator[trace_service_pb2.SearchTracesResponse]:
    """Yields the batches as messages that say where to resume, the last of them with the summary.

    While a reader reads, what was sent is not kept, nor fetched what comes next.
    """

    def token(last: Neighbour | None) -> str:
        return "" if last is None else searches.RESUME_TOKEN.next_token(request, found.point_behind(last))

    def message(hit: Hit) -> trace_service_pb2.SearchHit:
        return searches.hit_message(hit, found.explanation(hit.neighbour) if request.explain else None)

    filling, last = ResponseBuilder(), None
    hit_count = dropped_count = 0
    async with aclosing(batches):
        async for batch in batches:
            hit_count += len(batch.hits)
            dropped_count += batch.dropped_count
            if batch.last is None and filling.response.hits:
                # Out of time: what the summary rides in cannot be resumed behind.
                filling.response.resume_token = token(last)
                yield filling.take()
            while batch.hits:
                hit = batch.hits.pop(0)
                if (full := filling.put(message(hit))) is not None:
                    full.resume_token = token(last)
                    yield full
                last = hit.neighbour
            last = batch.last
            if batch.stop_reason in _RESUMABLE and batch.is_complete:
                filling.response.resume_token = token(last)
            if batch.stop_reason is not None:
                summary = searches.summary_message(
                    found, batch.stop_reason, hit_count=hit_count, dropped_count=dropped_count
                )
                filling.response.summary.CopyFrom(summary)
            if batch.is_complete:
                yield filling.take()


class ResponseBuilder:
    """The response that is being filled: where 2 MiB would be exceeded, another one begins."""

    def __init__(self) -> None:
        """Starts with an empty response."""
        self.response, self._budget = trace_service_pb2.SearchTracesResponse(), ResponseBudget()

    def put(self, hit: trace_service_pb2.SearchHit) -> trace_service_pb2.SearchTracesResponse | None:
        """Takes a hit, and returns the response that was full before, if it was. One hit always fits."""
        full = None
        if not self._budget.take(hit) and self.response.hits:
            full = self.take()
            self._budget.take(hit)
        self.response.hits.append(hit)
        return full

    def take(self) -> trace_service_pb2.SearchTracesResponse:
        """Returns the response and starts another one."""
        response = self.response
        self.response, self._budget = trace_service_pb2.SearchTracesResponse(), ResponseBudget()
        return response
