"""Search response stream: hits in messages that every client can receive, each with a resume token (ADR 0011)."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial

from commontrace.core.search.result import HitBatch, SearchResult
from commontrace.domain.search.neighbours import Neighbour
from commontrace.domain.search.query import StopReason
from commontrace.rpc.messages import searches
from commontrace.rpc.paging.response_budget import ResponseBudget
from commontrace.v1 import trace_service_pb2

# After any other reason, no hit follows, or, out of time, it is not known which hit is next.
_RESUMABLE = (None, StopReason.LIMIT)


async def stream(
    request: trace_service_pb2.SearchTracesRequest, result: SearchResult, batches: AsyncGenerator[HitBatch]
) -> AsyncGenerator[trace_service_pb2.SearchTracesResponse]:
    """Yields the batches as messages with resume tokens, the last with the summary.

    While a reader reads, hits that were sent are let go, and the next ones are not fetched yet.
    """

    def token(last: Neighbour | None) -> str:
        return "" if last is None else searches.RESUME_TOKEN.next_token(request, result.resume_point(last))

    builder, last = ResponseBuilder(), None
    hit_count = dropped_count = 0
    async with aclosing(batches):
        async for batch in batches:
            hit_count += len(batch.hits)
            dropped_count += batch.dropped_count
            if batch.last is None and builder.response.hits:
                # Out of time: the summary follows in a message of its own, without a resume token.
                builder.response.resume_token = token(last)
                yield builder.take()
            while batch.hits:
                hit = batch.hits.pop(0)
                explanation = result.explanation(hit.neighbour) if request.explain else None
                if (full := builder.add(partial(searches.fill_hit, hit=hit, explanation=explanation))) is not None:
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
                yield builder.take()


class ResponseBuilder:
    """Response that is being built. A hit that would exceed 2 MiB begins another one."""

    def __init__(self) -> None:
        self.response, self._budget = trace_service_pb2.SearchTracesResponse(), ResponseBudget()

    def add(self, fill: Callable[[trace_service_pb2.SearchHit], None]) -> trace_service_pb2.SearchTracesResponse | None:
        """Adds a hit that `fill` makes of an empty message.

        Returns the response before it if that was full, None otherwise. One hit always fits.
        """
        # Made in place: a message that is added to another is copied.
        message = self.response.hits.add()
        fill(message)
        if self._budget.take(message) or len(self.response.hits) == 1:
            return None
        full = self.take()
        self.response.hits.append(message)
        self._budget.take(message)
        del full.hits[-1]
        return full

    def take(self) -> trace_service_pb2.SearchTracesResponse:
        """Returns the response and starts another one."""
        response = self.response
        self.response, self._budget = trace_service_pb2.SearchTracesResponse(), ResponseBudget()
        return response
