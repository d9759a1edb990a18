"""Translation of several traces, and of revisions."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from commontrace.domain.errors import TraceNotFound
from commontrace.rpc.messages.item_errors import item_error
from commontrace.rpc.messages.timestamps import timestamp
from commontrace.rpc.messages.traces import trace_message
from commontrace.rpc.validation.invalid_request import ResponseTooLarge
from commontrace.storage.traces.repository import TraceRow
from commontrace.storage.traces.revisions import RevisionRow
from commontrace.v1 import trace_pb2, trace_service_pb2


def is_full(view: trace_pb2.TraceView.ValueType) -> bool:
    """Tells whether the view includes context and solution; for RPCs whose default is BASIC."""
    return view == trace_pb2.TRACE_VIEW_FULL


def batch_items(
    trace_ids: Sequence[UUID], found: Mapping[UUID, TraceRow]
) -> dict[UUID, trace_service_pb2.BatchGetTracesItem]:
    """Returns the item of each id: its trace, or an error for one that is not found."""
    return {trace_id: _batch_item(trace_id, found.get(trace_id)) for trace_id in trace_ids}


def too_large_items(trace_ids: Sequence[UUID]) -> list[trace_service_pb2.BatchGetTracesItem]:
    """Returns an error item for each trace that does not fit into the response."""
    error = ResponseTooLarge("the response is full: ask for this trace in another call")
    return [_failed_item(trace_id, error) for trace_id in trace_ids]


def revision_message(revision: RevisionRow) -> trace_service_pb2.TraceRevision:
    """Returns the message of a stored revision."""
    return trace_service_pb2.TraceRevision(
        revision=revision.revision,
        title=revision.title,
        context=revision.context_text,
        solution=revision.solution_text,
        changed_fields=revision.changed_fields,
        editor_id=str(revision.editor_id),
        create_time=timestamp(revision.created_at),
        editor_name=revision.editor_name,
    )


def _batch_item(trace_id: UUID, trace: TraceRow | None) -> trace_service_pb2.BatchGetTracesItem:
    if trace is None:
        return _failed_item(trace_id, TraceNotFound(trace_id))
    return trace_service_pb2.BatchGetTracesItem(trace_id=str(trace_id), trace=trace_message(trace))


def _failed_item(trace_id: UUID, error: Exception) -> trace_service_pb2.BatchGetTracesItem:
    return trace_service_pb2.BatchGetTracesItem(trace_id=str(trace_id), error=item_error(error))
