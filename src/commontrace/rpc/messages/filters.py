"""Translation of trace filters."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from commontrace.domain.tags.names import normalise_all
from commontrace.domain.traces.trace_filter import TraceFilter
from commontrace.rpc.messages.traces import STATUS
from commontrace.v1 import trace_filter_pb2

_MICROSECOND = timedelta(microseconds=1)
_LAST = datetime.max.replace(tzinfo=UTC)
_STORED_STATUS = {message: stored for stored, message in STATUS.items()}


def trace_filter_of(message: trace_filter_pb2.TraceFilter) -> TraceFilter:
    """Returns the domain filter of a valid message."""
    return TraceFilter(
        tags_all=tuple(normalise_all(message.tags_all)),
        tags_any=tuple(normalise_all(message.tags_any)),
        tags_none=tuple(normalise_all(message.tags_none)),
        statuses=tuple(_STORED_STATUS[status] for status in message.statuses),
        agent_models=tuple(message.agent_models),
        contributor_ids=tuple(map(UUID, message.contributor_ids)),
        created_from=_time(message.create_time_from) if message.HasField("create_time_from") else None,
        created_before=_time(message.create_time_before) if message.HasField("create_time_before") else None,
        # Empty, as unset, it keeps nothing out (`TraceFilter.passes_all`).
        metadata=MessageToDict(message.metadata) or None,
        include_superseded=message.include_superseded,
        namespaces=tuple(message.namespaces),
    )


def _time(timestamp: Timestamp) -> datetime:
    # Rounded up to a microsecond, the unit of stored times: both compare alike with every stored time.
    finer = timestamp.nanos % 1000 > 0
    rounded_down = timestamp.ToDatetime(UTC)
    return rounded_down + _MICROSECOND if finer and rounded_down < _LAST else rounded_down
