"""Taking traces away, and what brings them back."""

import grpc

from commontrace.v1 import trace_service_pb2
from tests.compatibility.previous_stubs.user import User, failure


async def check_deletion(owner: User, trace_id: str) -> None:
    """Deletes a trace, which its owner alone lists then, and brings it back."""
    deleted = await owner.traces.DeleteTrace(trace_service_pb2.DeleteTraceRequest(trace_id=trace_id))
    assert deleted.trace.id == trace_id
    assert deleted.trace.HasField("delete_time")
    listed = await owner.traces.ListTraces(trace_service_pb2.ListTracesRequest(show_deleted=True))
    assert [trace.id for trace in listed.traces] == [trace_id]
    back = await owner.traces.UndeleteTrace(trace_service_pb2.UndeleteTraceRequest(trace_id=trace_id))
    assert (back.trace.revision, back.trace.HasField("delete_time")) == (2, False)


async def check_hiding(trace_id: str, *, owner: User, moderator: User) -> None:
    """Hides a trace, which its owner cannot bring back, and ends that."""
    request = trace_service_pb2.HideTraceRequest(trace_id=trace_id, reason="It names a customer.")
    hidden = await moderator.traces.HideTrace(request)
    assert (hidden.trace.hide_reason, hidden.trace.HasField("delete_time")) == ("It names a customer.", True)
    kept = owner.traces.UndeleteTrace(trace_service_pb2.UndeleteTraceRequest(trace_id=trace_id))
    assert await failure(kept) == grpc.StatusCode.FAILED_PRECONDITION
    shown = await moderator.traces.UnhideTrace(trace_service_pb2.UnhideTraceRequest(trace_id=trace_id))
    assert (shown.trace.hide_reason, shown.trace.HasField("delete_time")) == ("", False)


async def check_purging(trace_id: str, *, moderator: User) -> None:
    """Erases a trace."""
    purged = await moderator.traces.PurgeTrace(trace_service_pb2.PurgeTraceRequest(trace_id=trace_id))
    assert purged.trace_id == trace_id
    gone = moderator.traces.GetTrace(trace_service_pb2.GetTraceRequest(trace_id=trace_id))
    assert await failure(gone) == grpc.StatusCode.NOT_FOUND
