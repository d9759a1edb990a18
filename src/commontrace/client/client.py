"""The client of one CommonTrace server."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc

from commontrace import DEFAULT_ADDRESS
from commontrace.client.tags import Tags
from commontrace.client.trace_reading import TraceReading
from commontrace.client.trace_writing import TraceWriting
from commontrace.client.votes import Votes
from commontrace.v1 import tag_service_pb2, trace_service_pb2, vector_pb2, vote_service_pb2

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# The channel itself repeats calls while the server is restarting, writes too: one that reports failure may have been
# committed, but it carries a request id, and the server carries it out once.
_RETRY_ALL = {
    "methodConfig": [
        {
            "name": [
                {"service": service.full_name}
                for contract in (trace_service_pb2, vote_service_pb2, tag_service_pb2)
                for service in contract.DESCRIPTOR.services_by_name.values()
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
# gRPC forgets, and so never repeats, what is larger than this; by default, a quarter of the largest request.
_REPEATABLE_BYTES = 2 << 20


@asynccontextmanager
async def connect(
    address: str = DEFAULT_ADDRESS, *, user: str | None = None, deadline: float = 10.0
) -> AsyncIterator["Client"]:
    """Yields a client of the server at `address`, which calls as the user with the e-mail address `user`.

    `deadline` is what every call may take, in seconds. Nothing is sent before the first call.
    """
    options = [
        ("grpc.service_config", json.dumps(_RETRY_ALL)),
        ("grpc.per_rpc_retry_buffer_size", _REPEATABLE_BYTES),
    ]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        yield Client(channel, user=user, deadline=deadline)


class Client(TraceReading, TraceWriting, Votes, Tags):
    """Calls of one server. Every method raises CallFailed, those that yield when they are read."""


def vector(components: "ArrayLike", *, model_id: str) -> vector_pb2.Vector:
    """Packs numbers, shape (dimensions,), as the server reads them fastest."""
    # Imported here: most callers send text, and the import takes longer than their call.
    import numpy as np

    packed = np.asarray(components, dtype="<f4").tobytes()
    return vector_pb2.Vector(packed_f32=packed, model_id=model_id)
