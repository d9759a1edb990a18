"""TraceService: unpack, one call, pack."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from uuid import UUID

import commontrace
from commontrace.core import contributing, limits, searching
from commontrace.core.errors import TraceNotFound
from commontrace.embeddings.query_cache import QueryCache
from commontrace.rpc import hit_batches
from commontrace.rpc.call import Context, current_caller
from commontrace.rpc.messages import info, searches, traces
from commontrace.rpc.writes import Writes
from commontrace.storage.database import Database
from commontrace.v1 import trace_service_pb2, trace_service_pb2_grpc


class TraceServicer(trace_service_pb2_grpc.TraceServiceServicer):
    """Contributes, reads and searches traces."""

    def __init__(self, database: Database, queries: QueryCache, writes: Writes, *, validation_threshold: int) -> None:
        """Takes where traces are stored, how queries are encoded, and what is told of the votes."""
        self._database = database
        self._writes = writes
        self._validation_threshold = validation_threshold
        self._queries = queries
        self._embedder = queries.embedder

    async def GetServiceInfo(
        self, _request: trace_service_pb2.GetServiceInfoRequest, _context: Context
    ) -> trace_service_pb2.GetServiceInfoResponse:
        """Describes the server."""
        email = current_caller().email
        user_id = await self._database.read(lambda reading: reading.users.id_of(email))
        return trace_service_pb2.GetServiceInfoResponse(
            version=commontrace.__version__,
            embedding_model=info.embedding_model_message(self._embedder),
            limits=info.limits_message(),
            caller=trace_service_pb2.Caller(
                user_id=str(user_id or ""),
                email=email,
                scopes=info.SCOPES,
            ),
            validation_threshold=self._validation_threshold,
        )

    async def CreateTrace(
        self, request: trace_service_pb2.CreateTraceRequest, _context: Context
    ) -> trace_service_pb2.CreateTraceResponse:
        """Stores a trace."""
        contributed = await contributing.contribute(
            traces.contribution(request), current_caller(), self._database, self._embedder
        )
        return traces.contributed_message(contributed)

    async def GetTrace(
        self, request: trace_service_pb2.GetTraceRequest, _context: Context
    ) -> trace_service_pb2.GetTraceResponse:
        """Returns one trace."""
        trace_id, full = UUID(request.trace_id), traces.is_full(request.view)
        trace = await self._database.read(lambda reading: reading.traces.get(trace_id, full=full))
        if trace is None:
            raise TraceNotFound(trace_id)
        return trace_service_pb2.GetTraceResponse(trace=traces.trace_message(trace))

    async def SearchTraces(
        self, request: trace_service_pb2.SearchTracesRequest, _context: Context
    ) -> AsyncIterator[trace_service_pb2.SearchTracesResponse]:
        """Streams the nearest traces; the summary rides in the last message."""
        found = await searching.find(
            searches.query(request),
            request.limit or limits.SEARCH_HITS_DEFAULT,
            database=self._database,
            queries=self._queries,
        )
        batches = searching.batches(
            found,
            request.batch_size or limits.BATCH_HITS_DEFAULT,
            full=traces.is_full(request.view),
            database=self._database,
        )
        hit_count = 0
        last = trace_service_pb2.SearchTracesResponse()
        async with aclosing(batches):
            async for batch in batches:
                hit_count += len(batch.hits)
                responses = hit_batches.responses(map(searches.hit_message, batch.hits))
                if batch.is_last:
                    last = responses.pop()
                for response in responses:
                    yield response
        last.summary.CopyFrom(searches.summary_message(found, hit_count=hit_count, embedder=self._embedder))
        yield last
