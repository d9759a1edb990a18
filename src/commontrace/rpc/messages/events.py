"""Translation of trace events."""

from commontrace.core.events.watch import EventBatch
from commontrace.domain.events import event_types
from commontrace.domain.traces.contribution import VALIDATED
from commontrace.rpc.messages.timestamps import timestamp
from commontrace.rpc.paging.page_tokens import BY_SEQUENCE
from commontrace.storage.events.repository import EventRow
from commontrace.v1 import trace_event_pb2

_TYPE = {
    event_types.CREATED: trace_event_pb2.TRACE_EVENT_TYPE_CREATED,
    event_types.UPDATED: trace_event_pb2.TRACE_EVENT_TYPE_UPDATED,
    VALIDATED: trace_event_pb2.TRACE_EVENT_TYPE_VALIDATED,
    event_types.DEMOTED: trace_event_pb2.TRACE_EVENT_TYPE_DEMOTED,
    event_types.SUPERSEDED: trace_event_pb2.TRACE_EVENT_TYPE_SUPERSEDED,
    event_types.DELETED: trace_event_pb2.TRACE_EVENT_TYPE_DELETED,
    event_types.PURGED: trace_event_pb2.TRACE_EVENT_TYPE_PURGED,
    event_types.UNDELETED: trace_event_pb2.TRACE_EVENT_TYPE_UNDELETED,
}


def batch_message(
    request: trace_event_pb2.WatchTracesRequest, batch: EventBatch
) -> trace_event_pb2.WatchTracesResponse:
    """Returns a batch of events, or a checkpoint, with the token that resumes behind it."""
    return trace_event_pb2.WatchTracesResponse(
        events=(_event_message(request, event) for event in batch.events),
        resume_token=BY_SEQUENCE.token(request, batch.position),
    )


def _event_message(request: trace_event_pb2.WatchTracesRequest, event: EventRow) -> trace_event_pb2.TraceEvent:
    return trace_event_pb2.TraceEvent(
        type=_TYPE[event.event_type],
        trace_id=str(event.trace_id),
        revision=event.revision,
        resume_token=BY_SEQUENCE.token(request, event.sequence),
        event_time=timestamp(event.created_at),
        namespace=event.namespace,
    )
