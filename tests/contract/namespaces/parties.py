"""Parties of the tests of leaks: a private namespace, an insider who writes there, and an outsider."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from commontrace.domain.namespaces.namespace import Role
from commontrace.domain.scopes import EVERYTHING, Scope
from commontrace.v1 import namespace_pb2, trace_pb2
from commontrace.v1 import namespace_service_pb2 as pb
from commontrace.v1 import trace_service_pb2 as trace_service
from tests.contract.namespaces.world import Gateway, a_bound_key, remove_member, set_member
from tests.support.builders import a_contribution
from tests.support.keys import Metadata

WALLED = "secret-garden"
INSIDER, OUTSIDER = "insider@example.org", "outsider@example.org"


@dataclass(frozen=True, kw_only=True)
class Parties:
    """Both write in `commons`; `root` is an admin."""

    gateway: Gateway
    root: Metadata
    insider: Metadata
    outsider: Metadata

    async def create(self, number: int, caller: Metadata, **changes: Any) -> trace_service.CreateTraceResponse:
        """Contributes a trace; two of one number are duplicates."""
        response: trace_service.CreateTraceResponse = await self.gateway.traces.CreateTrace(
            a_contribution(number, **changes), metadata=caller
        )
        return response

    async def secret(self, number: int, **changes: Any) -> trace_pb2.Trace:
        """A trace of the insider's in the private namespace."""
        return (await self.create(number, self.insider, namespace=WALLED, **changes)).created

    async def admit(self, email: str = INSIDER, role: Role = Role.MODERATOR, name: str = WALLED) -> None:
        await set_member(self.gateway, self.root, name, email, role)

    async def expel(self, email: str = INSIDER, name: str = WALLED) -> None:
        await remove_member(self.gateway, self.root, name, email)

    async def found(self, name: str, visibility: str = "PRIVATE") -> None:
        """Creates a namespace."""
        wanted = namespace_pb2.NamespaceVisibility.Value(f"NAMESPACE_VISIBILITY_{visibility}")
        request = pb.CreateNamespaceRequest(name=name, visibility=wanted)
        await self.gateway.namespaces.CreateNamespace(request, metadata=self.root)


@asynccontextmanager
async def parties(gateway: Gateway) -> AsyncIterator[Parties]:
    scopes = EVERYTHING - {Scope.TRACES_ADMIN}
    made = Parties(
        gateway=gateway,
        root=await a_bound_key(gateway.database, "root@example.org"),
        insider=await a_bound_key(gateway.database, INSIDER, scopes),
        outsider=await a_bound_key(gateway.database, OUTSIDER, scopes),
    )
    await made.found(WALLED)
    await made.admit()
    yield made
