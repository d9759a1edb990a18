"""Searches as messages."""

from uuid import UUID

from commontrace.core import searching
from commontrace.core.text import without_forbidden
from commontrace.embeddings.embedder import Embedder
from commontrace.rpc.messages.traces import trace_message
from commontrace.rpc.vectors import vector_array
from commontrace.v1 import trace_service_pb2

_STOP_REASON = {
    searching.StopReason.LIMIT: trace_service_pb2.STOP_REASON_LIMIT,
    searching.StopReason.EXHAUSTED: trace_service_pb2.STOP_REASON_EXHAUSTED,
}


def query(request: trace_service_pb2.SearchTracesRequest) -> searching.Query:
    """Returns what a valid request looks for."""
    match request.WhichOneof("query"):
        case "text":
            return without_forbidden(request.text)
        case "trace_id":
            return UUID(request.trace_id)
        case _:
            return vector_array(request.embedding)


def hit_message(hit: searching.Hit) -> trace_service_pb2.SearchHit:
    """Returns a hit as callers see it."""
    return trace_service_pb2.SearchHit(trace=trace_message(hit.trace), similarity=hit.similarity)


def summary_message(found: searching.Found, *, hit_count: int, embedder: Embedder) -> trace_service_pb2.SearchSummary:
    """Returns the end of a search of which `hit_count` hits were sent."""
    return trace_service_pb2.SearchSummary(
        stop_reason=_STOP_REASON[found.stop_reason],
        exact=found.exact,
        embedding_model_id=embedder.model_id,
        hit_count=hit_count,
        dropped_count=len(found.neighbours) - hit_count,
    )
