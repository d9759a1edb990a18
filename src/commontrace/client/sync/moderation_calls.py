# Generated from the asynchronous client by `make generate`. Do not edit.
"""Moderation of others' traces, for the scope `traces:admin` and for moderators of a namespace (ADR 0031)."""

from uuid import UUID

from commontrace.client.requests import request_id_of
from commontrace.client.sync.calls import Calls
from commontrace.v1 import trace_pb2, trace_service_pb2


class ModerationCalls(Calls):
    """Calls that hide and purge traces of other users.

    Each takes a `request_id` (a UUID, by default a new one), its idempotency key.
    """

    def hide(self, trace_id: str | UUID, reason: str, *, request_id: str | UUID | None = None) -> trace_pb2.Trace:
        """Hides a trace from everybody and returns it without context and solution; its owner sees the reason."""
        request = trace_service_pb2.HideTraceRequest(
            trace_id=str(trace_id), reason=reason, request_id=request_id_of(request_id)
        )
        response = self._call(self._traces.HideTrace, request)
        return response.trace

    def unhide(self, trace_id: str | UUID, *, request_id: str | UUID | None = None) -> trace_pb2.Trace:
        """Ends the hiding of a trace and returns it without context and solution."""
        request = trace_service_pb2.UnhideTraceRequest(trace_id=str(trace_id), request_id=request_id_of(request_id))
        response = self._call(self._traces.UnhideTrace, request)
        return response.trace

    def purge(self, trace_id: str | UUID, *, request_id: str | UUID | None = None) -> None:
        """Erases a trace permanently: texts, vector, tags, votes, and every stored response that names it."""
        request = trace_service_pb2.PurgeTraceRequest(trace_id=str(trace_id), request_id=request_id_of(request_id))
        self._call(self._traces.PurgeTrace, request)
