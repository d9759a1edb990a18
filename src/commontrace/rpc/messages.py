"""The only mapping between messages and the objects behind them."""

from typing import Any
from uuid import UUID

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

from commontrace.core import limits, searching
from commontrace.core.contributing import Contributed
from commontrace.core.text import without_forbidden
from commontrace.core.traces import PENDING, VALIDATED, Contribution
from commontrace.embeddings.embedder import Embedder
from commontrace.rpc.vectors import vector_array
from commontrace.storage.trace_repository import TraceRow
from commontrace.v1 import trace_pb2, trace_service_pb2

_STATUS = {PENDING: trace_pb2.TRACE_STATUS_PENDING, VALIDATED: trace_pb2.TRACE_STATUS_VALIDATED}
_STOP_REASON = {
    searching.StopReason.LIMIT: trace_service_pb2.STOP_REASON_LIMIT,
    searching.StopReason.EXHAUSTED: trace_service_pb2.STOP_REASON_EXHAUSTED,
}


def trace_message(trace: TraceRow) -> trace_pb2.Trace:
    """Returns a stored trace as callers see it."""
    message = trace_pb2.Trace(
        id=str(trace.id),
        title=trace.title,
        context=trace.context_text,
        solution=trace.solution_text,
        tags=trace.tags,
        status=_STATUS[trace.status],
        trust_score=trace.trust_score,
        confirmation_count=trace.confirmation_count,
        revision=trace.revision,
        contributor_id=str(trace.contributor_id),
        agent_model=trace.agent_model,
        agent_version=trace.agent_version,
        is_seed=trace.is_seed,
    )
    message.create_time.FromDatetime(trace.created_at)
    message.update_time.FromDatetime(trace.updated_at)
    if trace.metadata_json:
        message.metadata.CopyFrom(_struct(trace.metadata_json))
    return message


def contribution(request: trace_service_pb2.CreateTraceRequest) -> Contribution:
    """Returns what a valid request contributes."""
    return Contribution(
        title=request.title,
        context=request.context,
        solution=request.solution,
        tags=tuple(request.tags),
        agent_model=request.agent_model,
        agent_version=request.agent_version,
        metadata=MessageToDict(request.metadata),
    )


def contributed_message(contributed: Contributed) -> trace_service_pb2.CreateTraceResponse:
    """Returns what became of a contribution."""
    return trace_service_pb2.CreateTraceResponse(
        created=trace_message(contributed.trace),
        tokens_read=contributed.tokens_read,
        tokens_total=contributed.tokens_total,
    )


def query(request: trace_service_pb2.SearchTracesRequest) -> searching.Query:
    """Returns what a valid request looks for."""
    match request.WhichOneof("query"):
        case "text":
            return without_forbidden(request.text)
        case "trace_id":
            return UUID(request.trace_id)
        case _:
            return vector_array(request.embedding)


def is_full(view: trace_pb2.TraceView.ValueType) -> bool:
    """Tells whether a view that is FULL by default has context and solution."""
    return view != trace_pb2.TRACE_VIEW_BASIC


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


def embedding_model_message(embedder: Embedder) -> trace_service_pb2.EmbeddingModel:
    """Describes the embedding model."""
    return trace_service_pb2.EmbeddingModel(
        id=embedder.model_id,
        version=embedder.model_version,
        dimensions=embedder.dimensions,
        is_lexical=embedder.is_lexical,
    )


def limits_message() -> trace_service_pb2.Limits:
    """Describes the limits."""
    return trace_service_pb2.Limits(
        title_characters=limits.TITLE_CHARACTERS,
        context_characters=limits.CONTEXT_CHARACTERS,
        solution_characters=limits.SOLUTION_CHARACTERS,
        tags=limits.TAGS,
        tag_characters=limits.TAG_CHARACTERS,
        agent_model_characters=limits.AGENT_MODEL_CHARACTERS,
        agent_version_characters=limits.AGENT_VERSION_CHARACTERS,
        metadata_bytes=limits.METADATA_BYTES,
        metadata_levels=limits.METADATA_LEVELS,
        query_characters=limits.QUERY_CHARACTERS,
        search_hits=limits.SEARCH_HITS,
        request_bytes=limits.REQUEST_BYTES,
    )


def _struct(value: dict[str, Any]) -> Struct:
    struct = Struct()
    struct.update(value)
    return struct
