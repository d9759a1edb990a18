"""Calls of one CommonTrace server, as methods."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import grpc
from google.protobuf.descriptor_pb2 import MethodOptions

from commontrace import DEFAULT_ADDRESS, USER_METADATA
from commontrace.client.errors import CallFailed
from commontrace.v1 import trace_pb2, trace_service_pb2, trace_service_pb2_grpc, vector_pb2

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# Reads are repeated by the channel itself while the server is restarting. Writes are not: one that reports failure may
# have been committed.
_RETRY_READS = {
    "methodConfig": [
        {
            "name": [
                {"service": service.full_name, "method": method.name}
                for service in trace_service_pb2.DESCRIPTOR.services_by_name.values()
                for method in service.methods
                if method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
            ],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}


@asynccontextmanager
async def connect(
    address: str = DEFAULT_ADDRESS, *, user: str | None = None, deadline: float = 10.0
) -> AsyncIterator["Client"]:
    """Yields a client of the server at `address`, which calls as the user with the e-mail address `user`.

    `deadline` is what every call may take, in seconds. Nothing is sent before the first call.
    """
    options = [("grpc.service_config", json.dumps(_RETRY_READS))]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        yield Client(channel, user=user, deadline=deadline)


class Client:
    """Calls of TraceService. Every method raises CallFailed."""

    def __init__(self, channel: grpc.aio.Channel, *, user: str | None, deadline: float) -> None:
        """Takes an open channel; `connect` makes one."""
        self._traces = trace_service_pb2_grpc.TraceServiceStub(channel)
        self._options: dict[str, Any] = {
            "timeout": deadline,
            "metadata": ((USER_METADATA, user),) if user is not None else (),
        }

    async def service_info(self) -> trace_service_pb2.GetServiceInfoResponse:
        """Returns the server's description."""
        with _translated():
            return await self._traces.GetServiceInfo(trace_service_pb2.GetServiceInfoRequest(), **self._options)

    async def contribute(
        self,
        title: str,
        context: str,
        solution: str,
        *,
        tags: Sequence[str] = (),
        agent_model: str = "",
        agent_version: str = "",
        metadata: Mapping[str, Any] | None = None,
    ) -> trace_service_pb2.CreateTraceResponse:
        """Stores a trace, durable and searchable when this returns. Raises TypeError if `tags` is one string."""
        if isinstance(tags, str):
            raise TypeError("tags must be several strings; one string would become a tag a letter")
        request = trace_service_pb2.CreateTraceRequest(
            title=title,
            context=context,
            solution=solution,
            tags=tags,
            agent_model=agent_model,
            agent_version=agent_version,
        )
        if metadata:
            request.metadata.update(dict(metadata))
        with _translated():
            return await self._traces.CreateTrace(request, **self._options)

    async def get(self, trace_id: str | UUID, *, full: bool = True) -> trace_pb2.Trace:
        """Returns one trace; without `full`, its context and solution are empty."""
        request = trace_service_pb2.GetTraceRequest(trace_id=str(trace_id), view=_view(full=full))
        with _translated():
            return (await self._traces.GetTrace(request, **self._options)).trace

    async def search(
        self, query: str | UUID | vector_pb2.Vector, *, limit: int = 10, full: bool = True
    ) -> list[trace_service_pb2.SearchHit]:
        """Returns the nearest traces, most similar first.

        `query` is a text, the id of a trace to find others like it, or a vector (see `vector`).
        """
        request = trace_service_pb2.SearchTracesRequest(limit=limit, view=_view(full=full))
        if isinstance(query, str):
            request.text = query
        elif isinstance(query, UUID):
            request.trace_id = str(query)
        else:
            request.embedding.CopyFrom(query)
        with _translated():
            responses = self._traces.SearchTraces(request, **self._options)
            try:
                return [hit async for response in responses for hit in response.hits]
            finally:
                responses.cancel()


def vector(components: "ArrayLike", *, model_id: str) -> vector_pb2.Vector:
    """Packs numbers, shape (dimensions,), as the server reads them fastest."""
    # Imported here: most callers send text, and the import takes longer than their call.
    import numpy as np

    packed = np.asarray(components, dtype="<f4").tobytes()
    return vector_pb2.Vector(packed_f32=packed, model_id=model_id)


def _view(*, full: bool) -> trace_pb2.TraceView.ValueType:
    return trace_pb2.TRACE_VIEW_FULL if full else trace_pb2.TRACE_VIEW_BASIC


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise CallFailed.from_rpc_error(error) from error
