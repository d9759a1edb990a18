"""Search streams: hits in messages of at most 2 MiB, each with a resume token (ADR 0011)."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from commontrace.core.search.batches import Batch, Hit
from commontrace.core.search.result import SearchResult
from commontrace.domain.search.neighbours import Neighbour
from commontrace.domain.search.query import StopReason
from commontrace.rpc.messages import searches
from commontrace.rpc.paging.response_budget import ResponseBudget
from commontrace.v1 import trace_service_pb2

# After the other stop reasons, no hits follow or, near the deadline, none that are known for sure.
_RESUMABLE = (None, StopReason.LIMIT)


async def stream(
    request: trace_service_pb2.SearchTracesRequest, result: SearchResult, batches: AsyncGenerator[Batch]
) -> AsyncGenerator[trace_service_pb2.SearchTracesResponse]:
    """Yields the batches as messages with resume tokens, the last of them with the summary.

    While a message is being read, neither those before it are kept nor those behind it fetched.
    """

    def token(last: Neighbour | None) -> str:
        return "" if last is None else searches.RESUME_TOKEN.next_token(request, result.point_behind(last))

    def message(hit: Hit) -> trace_service_pb2.SearchHit:
        return searches.hit_message(hit, result.explanation(hit.neighbour) if request.explain else None)

    builder, last = ResponseBuilder(), None
    hit_count = dropped_count = 0
    async with aclosing(batches):
        async for batch in batches:
            hit_count += len(batch.hits)
            dropped_count += batch.dropped_count
            if batch.last is None and builder.response.hits:
                # The deadline is near: the message of the summary gets no token, so the hits before it go first.
                builder.response.resume_token = token(last)
                yield builder.build()
            while batch.hits:
                hit = batch.hits.pop(0)
                if (full := builder.add(message(hit))) is not None:
                    full.resume_token = token(last)
                    yield full
                last = hit.neighbour
            last = batch.last
            if batch.stop_reason in _RESUMABLE and batch.is_complete:
                builder.response.resume_token = token(last)
            if batch.stop_reason is not None:
                summary = searches.summary_message(
                    result, batch.stop_reason, hit_count=hit_count, dropped_count=dropped_count
                )
                builder.response.summary.CopyFrom(summary)
            if batch.is_complete:
                yield builder.build()


class ResponseBuilder:
    """Fills a response with hits, and begins another one where 2 MiB would be exceeded."""

    def __init__(self) -> None:
        self.response, self._budget = trace_service_pb2.SearchTracesResponse(), ResponseBudget()

    def add(self, hit: trace_service_pb2.SearchHit) -> trace_service_pb2.SearchTracesResponse | None:
        """Adds a hit. Returns the response before if it was full, else None. A single hit always fits."""
        full = None
        if not self._budget.take(hit) and self.response.hits:
            full = self.build()
            self._budget.take(hit)
        self.response.hits.append(hit)
        return full

    def build(self) -> trace_service_pb2.SearchTracesResponse:
        """Returns the response, and begins another one."""
        response = self.response
        self.response, self._budget = trace_service_pb2.SearchTracesResponse(), ResponseBudget()
        return response
