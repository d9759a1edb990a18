"""Pairs of servers on one database, and how calls and streams of a reader end after a revocation."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from commontrace.embeddings.embedder import Embedder
from commontrace.v1 import namespace_service_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.contract.callers import reason_of
from tests.contract.namespaces.revocations import Revocable
from tests.contract.namespaces.world import Gateway, a_bound_key, gateway
from tests.support.keys import Metadata


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two servers on one database. Changes are made by the first."""

    first: Gateway
    second: Gateway
    owner: Metadata

    @property
    def both(self) -> tuple[Gateway, Gateway]:
        return self.first, self.second


@asynccontextmanager
async def a_pair(url: str, embedder: Embedder) -> AsyncIterator[Pair]:
    async with gateway(url, embedder) as first, gateway(url, embedder) as second:
        yield Pair(first=first, second=second, owner=await a_bound_key(first.database, "root@example.org"))


def within(lost: Revocable) -> TraceFilter:
    """A filter by the namespace alone."""
    return TraceFilter(namespaces=[lost.name])


def calls(server: Gateway, lost: Revocable) -> dict[str, Any]:
    """Unary calls by the reason that they fail with once the namespace is lost."""
    request = namespace_service_pb2.GetNamespaceRequest(name=lost.name)
    return {
        "NAMESPACE_NOT_FOUND": server.namespaces.GetNamespace(request, metadata=lost.reader),
        "TRACE_NOT_FOUND": server.traces.GetTrace(pb.GetTraceRequest(trace_id=lost.trace_id), metadata=lost.reader),
    }


async def refused_after(server: Gateway, lost: Revocable) -> float:
    """Seconds until the server refuses the reader's calls, each for its reason."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    while True:
        reasons = {due: await reason_of(call) for due, call in calls(server, lost).items()}
        if all(reason in (due, "INVALID_KEY") for due, reason in reasons.items()):
            return clock() - begun
        # Nothing but what it was, and what it has to be.
        assert set(reasons.values()) <= {"OK", *reasons}, reasons
        await asyncio.sleep(0.02)


async def end_of(stream: Any) -> tuple[str, int]:
    """How a stream ends, and how many more messages come before."""
    count = 0

    async def read() -> None:
        nonlocal count
        while await stream.read() is not grpc.aio.EOF:
            count += 1

    return await reason_of(read()), count
