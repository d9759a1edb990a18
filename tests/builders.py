"""Requests as tests need them: valid, unless told otherwise."""

from typing import Any

from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub


def a_contribution(number: int = 0, **changes: Any) -> pb.CreateTraceRequest:
    """A trace that differs from others by its number."""
    fields: dict[str, Any] = {
        "title": f"Trace number {number}",
        "context": f"Problem number {number} appeared.",
        "solution": f"Solution number {number} made it go away.",
        "tags": ["python"],
    }
    return pb.CreateTraceRequest(**(fields | changes))


async def search(traces: TraceServiceStub, **fields: Any) -> list[pb.SearchTracesResponse]:
    """Every message of a search stream."""
    return [response async for response in traces.SearchTraces(pb.SearchTracesRequest(**fields), timeout=20)]


def hits_of(responses: list[pb.SearchTracesResponse]) -> list[pb.SearchHit]:
    """The hits of a whole stream."""
    return [hit for response in responses for hit in response.hits]
