"""Traces as messages."""

from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

from commontrace.core.contributing import Contributed
from commontrace.core.traces import PENDING, VALIDATED, Contribution, etag
from commontrace.storage.trace_repository import TraceRow
from commontrace.v1 import trace_pb2, trace_service_pb2

STATUS = {PENDING: trace_pb2.TRACE_STATUS_PENDING, VALIDATED: trace_pb2.TRACE_STATUS_VALIDATED}
"""The contract's status by the stored one."""


def trace_message(trace: TraceRow) -> trace_pb2.Trace:
    """Returns a stored trace as callers see it."""
    message = trace_pb2.Trace(
        id=str(trace.id),
        title=trace.title,
        context=trace.context_text,
        solution=trace.solution_text,
        tags=trace.tags,
        status=STATUS[trace.status],
        trust_score=trace.trust_score,
        confirmation_count=trace.confirmation_count,
        revision=trace.revision,
        contributor_id=str(trace.contributor_id),
        agent_model=trace.agent_model,
        agent_version=trace.agent_version,
        is_seed=trace.is_seed,
        down_count=trace.down_count,
        etag=etag(trace.edit_number),
        supersedes_trace_id=str(trace.supersedes_id or ""),
        superseded_by_trace_id=str(trace.superseded_by_id or ""),
    )
    message.create_time.FromDatetime(trace.created_at)
    message.update_time.FromDatetime(trace.updated_at)
    if trace.deleted_at is not None:
        message.delete_time.FromDatetime(trace.deleted_at)
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


def is_full(view: trace_pb2.TraceView.ValueType) -> bool:
    """Tells whether a view that is FULL by default has context and solution."""
    return view != trace_pb2.TRACE_VIEW_BASIC


def _struct(value: dict[str, Any]) -> Struct:
    struct = Struct()
    struct.update(value)
    return struct
