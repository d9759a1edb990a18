"""Search hits cut into messages that every client can receive."""

from collections.abc import Iterable

from commontrace.rpc.response_budget import ResponseBudget
from commontrace.v1 import trace_service_pb2


def responses(hits: Iterable[trace_service_pb2.SearchHit]) -> list[trace_service_pb2.SearchTracesResponse]:
    """Returns the hits in one response, or in several where one would exceed 2 MiB; at least one, maybe empty."""
    cut, budget = [trace_service_pb2.SearchTracesResponse()], ResponseBudget()
    for hit in hits:
        if not budget.take(hit):
            cut.append(trace_service_pb2.SearchTracesResponse())
            budget = ResponseBudget()
            budget.take(hit)
        cut[-1].hits.append(hit)
    return cut
