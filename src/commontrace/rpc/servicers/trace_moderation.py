"""Moderation of traces: the part of TraceService that hides, unhides and purges (ADR 0031)."""

from uuid import UUID

from commontrace.core.traces import moderate as trace_moderation
from commontrace.rpc.access import CallAccess
from commontrace.rpc.call import Context, current_caller
from commontrace.rpc.idempotency import IdempotentWrites, Unprepared
from commontrace.rpc.messages.traces import trace_message
from commontrace.v1 import trace_service_pb2 as pb


class TraceModeration:
    """The RPCs of moderators."""

    _writes: IdempotentWrites
    _access: CallAccess

    async def HideTrace(self, request: pb.HideTraceRequest, _context: Context) -> pb.HideTraceResponse:
        """Hides a trace."""
        trace_id, access = UUID(request.trace_id), await self._access.resolve()
        return await self._writes.execute(
            request,
            Unprepared(lambda work, _: trace_moderation.hide(trace_id, request.reason, work, access)),
            lambda trace: pb.HideTraceResponse(trace=trace_message(trace)),
        )

    async def UnhideTrace(self, request: pb.UnhideTraceRequest, _context: Context) -> pb.UnhideTraceResponse:
        """Ends the hiding of a trace."""
        trace_id, access = UUID(request.trace_id), await self._access.resolve()
        return await self._writes.execute(
            request,
            Unprepared(lambda work, _: trace_moderation.unhide(trace_id, work, access)),
            lambda trace: pb.UnhideTraceResponse(trace=trace_message(trace)),
        )

    async def PurgeTrace(self, request: pb.PurgeTraceRequest, _context: Context) -> pb.PurgeTraceResponse:
        """Purges a trace: erases all that is stored of it."""
        trace_id, access = UUID(request.trace_id), await self._access.resolve()
        email = current_caller().email
        return await self._writes.execute(
            request,
            Unprepared(lambda work, _: trace_moderation.purge(trace_id, work, email, access)),
            lambda _: pb.PurgeTraceResponse(trace_id=request.trace_id),
        )
