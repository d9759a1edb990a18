"""Writes of traces: the part of TraceService that creates, updates, deletes and undeletes."""

from uuid import UUID

from commontrace.core.search.service import SearchService
from commontrace.core.traces import create as trace_creation
from commontrace.core.traces import delete as trace_deletion
from commontrace.core.traces import promote as trace_promotion
from commontrace.core.traces import update as trace_update
from commontrace.domain.namespaces.namespace import COMMONS
from commontrace.domain.scopes import Scope
from commontrace.embeddings.active_model import ActiveModel
from commontrace.rpc.access import CallAccess
from commontrace.rpc.call import Context, current_caller
from commontrace.rpc.deadlines import deadline_of
from commontrace.rpc.idempotency import IdempotentWrites, Unprepared
from commontrace.rpc.messages import traces
from commontrace.storage.database import Database
from commontrace.v1 import trace_service_pb2 as pb


class TraceWrites:
    """Write RPCs of TraceService: create, update, delete and undelete a trace."""

    _database: Database
    _model: ActiveModel
    _writes: IdempotentWrites
    _access: CallAccess
    _searches: SearchService

    async def CreateTrace(self, request: pb.CreateTraceRequest, context: Context) -> pb.CreateTraceResponse:
        """Stores a trace."""
        deadline, access = deadline_of(context), await self._access.resolve()
        namespace = request.namespace or access.default_name()
        # The default and its name are one request, and `commons` is that of servers that know no other.
        request.namespace = "" if namespace == COMMONS else namespace
        return await self._writes.execute(
            request,
            lambda: trace_creation.prepare(
                traces.contribution(request),
                access,
                namespace=namespace,
                on_duplicate=traces.on_duplicate(request.on_duplicate),
                supersedes_id=traces.optional_id(request.supersedes_trace_id),
                database=self._database,
                embedder=self._model.embedder,
                selectivities=self._searches.selectivities,
                deadline=deadline,
            ),
            lambda contributed: traces.contributed_message(contributed, is_stored=not request.validate_only),
            dry_run=request.validate_only,
        )

    async def UpdateTrace(self, request: pb.UpdateTraceRequest, context: Context) -> pb.UpdateTraceResponse:
        """Edits a trace."""
        deadline, access = deadline_of(context), await self._access.resolve()
        return await self._writes.execute(
            request,
            lambda: trace_update.prepare(
                traces.edit(request),
                current_caller().email,
                access,
                database=self._database,
                embedder=self._model.embedder,
                deadline=deadline,
            ),
            traces.edited_message,
        )

    async def DeleteTrace(self, request: pb.DeleteTraceRequest, _context: Context) -> pb.DeleteTraceResponse:
        """Deletes a trace."""
        trace_id, access = UUID(request.trace_id), await self._access.resolve()
        return await self._writes.execute(
            request,
            Unprepared(lambda work, caller_id: trace_deletion.delete(trace_id, request.etag, work, caller_id, access)),
            lambda trace: pb.DeleteTraceResponse(trace=traces.trace_message(trace)),
        )

    async def UndeleteTrace(self, request: pb.UndeleteTraceRequest, _context: Context) -> pb.UndeleteTraceResponse:
        """Restores a deleted trace."""
        trace_id, access = UUID(request.trace_id), await self._access.resolve()
        return await self._writes.execute(
            request,
            Unprepared(lambda work, caller_id: trace_deletion.undelete(trace_id, work, caller_id, access)),
            lambda trace: pb.UndeleteTraceResponse(trace=traces.trace_message(trace)),
        )

    async def PromoteTrace(self, request: pb.PromoteTraceRequest, _context: Context) -> pb.PromoteTraceResponse:
        """Copies a trace into another namespace."""
        # The answer shows the text.
        current_caller().require(Scope.TRACES_READ)
        trace_id, access = UUID(request.trace_id), await self._access.resolve()
        return await self._writes.execute(
            request,
            Unprepared(
                lambda work, caller_id: trace_promotion.promote(
                    trace_id,
                    request.to_namespace,
                    access=access,
                    model=self._model.info,
                    work=work,
                    caller_id=caller_id,
                )
            ),
            traces.promoted_message,
        )
