"""Search hits cut into messages that every client can receive."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from commontrace.core.search_batches import Batch, Hit
from commontrace.core.searching import Found, StopReason
from commontrace.rpc import response_budget
from commontrace.rpc.messages import searches
from commontrace.storage.trace_search import Neighbour
from commontrace.v1 import trace_service_pb2

# After the others, nothing follows, or, with the deadline near, nothing that is known for sure.
_RESUMABLE = (None, StopReason.LIMIT)


async def stream(
    request: trace_service_pb2.SearchTracesRequest, found: Found, batches: AsyncGenerator[Batch]
) -> AsyncGenerator[trace_service_pb2.SearchTracesResponse]:
    """Yields the batches as messages that say where to resume, the last of them with the summary."""

    def token(last: Neighbour) -> str:
        return searches.RESUME_TOKEN.next_token(request, found.point_behind(last))

    def message(hit: Hit) -> trace_service_pb2.SearchHit:
        return searches.hit_message(hit, found.explanation(hit.neighbour) if request.explain else None)

    hit_count = dropped_count = 0
    async with aclosing(batches):
        async for batch in batches:
            cut = responses(map(message, batch.hits))
            position = 0
            for response in cut[:-1]:
                position += len(response.hits)
                response.resume_token = token(batch.hits[position - 1].neighbour)
            if batch.last is not None and batch.stop_reason in _RESUMABLE:
                cut[-1].resume_token = token(batch.last)
            hit_count += len(batch.hits)
            dropped_count += batch.dropped_count
            if batch.stop_reason is not None:
                summary = searches.summary_message(
                    found, batch.stop_reason, hit_count=hit_count, dropped_count=dropped_count
                )
                cut[-1].summary.CopyFrom(summary)
            for response in cut:
                yield response


def responses(hits: Iterable[trace_service_pb2.SearchHit]) -> list[trace_service_pb2.SearchTracesResponse]:
    """Returns the hits in one response, or in several where one would exceed 2 MiB; at least one, maybe empty."""
    cut = [trace_service_pb2.SearchTracesResponse(hits=run) for run in response_budget.cut(hits)]
    return cut or [trace_service_pb2.SearchTracesResponse()]
