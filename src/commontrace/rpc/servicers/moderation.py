"""The calls of TraceService that moderators make."""

from uuid import UUID

from commontrace.core.traces import moderate as moderating
from commontrace.rpc.call import Context, current_caller
from commontrace.rpc.idempotency import IdempotentWrites
from commontrace.rpc.messages.traces import trace_message
from commontrace.storage.unit_of_work import UnitOfWork
from commontrace.v1 import trace_service_pb2 as pb


class Moderation:
    """A part of the servicer."""

    _writes: IdempotentWrites

    async def HideTrace(self, request: pb.HideTraceRequest, _context: Context) -> pb.HideTraceResponse:
        """Hides a trace."""

        async def write(work: UnitOfWork, _caller_id: UUID) -> pb.HideTraceResponse:
            hidden = await moderating.hide(UUID(request.trace_id), request.reason, work)
            return pb.HideTraceResponse(trace=trace_message(hidden))

        return await self._writes.answer(request, pb.HideTraceResponse, write)

    async def UnhideTrace(self, request: pb.UnhideTraceRequest, _context: Context) -> pb.UnhideTraceResponse:
        """Ends the hiding of a trace."""

        async def write(work: UnitOfWork, _caller_id: UUID) -> pb.UnhideTraceResponse:
            trace = await moderating.unhide(UUID(request.trace_id), work)
            return pb.UnhideTraceResponse(trace=trace_message(trace))

        return await self._writes.answer(request, pb.UnhideTraceResponse, write)

    async def PurgeTrace(self, request: pb.PurgeTraceRequest, _context: Context) -> pb.PurgeTraceResponse:
        """Erases a trace."""

        async def write(work: UnitOfWork, _caller_id: UUID) -> pb.PurgeTraceResponse:
            await moderating.purge(UUID(request.trace_id), work, current_caller().email)
            return pb.PurgeTraceResponse(trace_id=request.trace_id)

        return await self._writes.answer(request, pb.PurgeTraceResponse, write)
