"""TraceService: the servicer, put together from its parts, and the description of the server."""

import commontrace
from commontrace.core.events.watch import EventWatch
from commontrace.core.search.service import SearchService
from commontrace.embeddings.active_model import ActiveModel
from commontrace.rpc.access import CallAccess
from commontrace.rpc.call import Context, current_caller
from commontrace.rpc.idempotency import IdempotentWrites
from commontrace.rpc.messages import info
from commontrace.rpc.scopes import scope_messages
from commontrace.rpc.servicers.trace_moderation import TraceModeration
from commontrace.rpc.servicers.trace_reads import TraceReads
from commontrace.rpc.servicers.trace_streams import TraceStreams
from commontrace.rpc.servicers.trace_writes import TraceWrites
from commontrace.rpc.shutdown import ShutdownSignal
from commontrace.rpc.streams.imports import Importer
from commontrace.storage.database import Database
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import trace_service_pb2_grpc


class TraceServicer(
    TraceWrites, TraceReads, TraceStreams, TraceModeration, trace_service_pb2_grpc.TraceServiceServicer
):
    """TraceService. `validation_threshold` is how many UP votes validate a trace."""

    def __init__(
        self,
        database: Database,
        model: ActiveModel,
        writes: IdempotentWrites,
        access: CallAccess,
        importer: Importer,
        shutdown: ShutdownSignal,
        event_watch: EventWatch,
        *,
        validation_threshold: int,
    ) -> None:
        self._database = database
        self._model = model
        self._writes = writes
        self._access = access
        self._searches = SearchService(database, model)
        self._importer = importer
        self._shutdown = shutdown
        self._event_watch = event_watch
        self._validation_threshold = validation_threshold

    async def GetServiceInfo(self, _request: pb.GetServiceInfoRequest, _context: Context) -> pb.GetServiceInfoResponse:
        """Describes the server: version, embedding model and limits, and the caller as the server knows it."""
        caller = current_caller()
        user_id = await self._database.read(lambda reading: reading.users.get_id(caller.email))
        return pb.GetServiceInfoResponse(
            version=commontrace.__version__,
            embedding_model=info.embedding_model_message(self._model.info),
            limits=info.limits_message(),
            caller=pb.Caller(
                user_id=str(user_id or ""),
                email=caller.email,
                scopes=scope_messages(caller.scopes),
                bound_namespaces=sorted(caller.bound_names or ()),
            ),
            validation_threshold=self._validation_threshold,
        )
