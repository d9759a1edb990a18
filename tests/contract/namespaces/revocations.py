"""Revocations: ways in which a caller loses access to a namespace, each with a namespace and a reader of its own."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg
from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.core.keys import service as key_service
from commontrace.domain.namespaces.namespace import Role
from commontrace.domain.scopes import EVERYTHING, Scope
from commontrace.v1 import namespace_pb2, trace_service_pb2
from commontrace.v1 import namespace_service_pb2 as pb
from tests.contract.namespaces.world import Gateway, a_bound_key, remove_member, set_member
from tests.support.builders import WITHOUT_WORDS
from tests.support.keys import Metadata

KINDS = ("member removed", "made private", "deleted", "key revoked")
_COLUMNS = (
    "title, context_text, solution_text, embedding, embedding_model_id, embedding_model_version, contributor_id,"
    " namespace_id"
)
_TEXT_CHARACTERS = 50_000


@dataclass(kw_only=True)
class Revocable:
    """A namespace with traces, and the key of a user who reads there until `revoke`."""

    kind: str
    gateway: Gateway
    owner: Metadata
    name: str
    reader: Metadata
    reader_email: str
    trace_id: str

    @property
    def reason(self) -> str:
        """The reason with which streams end afterwards."""
        return "INVALID_KEY" if self.kind == "key revoked" else "NAMESPACE_NOT_FOUND"

    async def revoke(self) -> None:
        """Ends the access, by the gateway."""
        if self.kind == "member removed":
            await remove_member(self.gateway, self.owner, self.name, self.reader_email)
        elif self.kind == "made private":
            changed = namespace_pb2.Namespace(name=self.name, visibility=namespace_pb2.NAMESPACE_VISIBILITY_PRIVATE)
            mask = FieldMask(paths=["visibility"])
            wanted = pb.UpdateNamespaceRequest(namespace=changed, update_mask=mask)
            await self.gateway.namespaces.UpdateNamespace(wanted, metadata=self.owner)
        elif self.kind == "deleted":
            for trace_id in await self.trace_ids():
                purged = trace_service_pb2.PurgeTraceRequest(trace_id=trace_id)
                await self.gateway.traces.PurgeTrace(purged, metadata=self.owner)
            await self.gateway.namespaces.DeleteNamespace(
                pb.DeleteNamespaceRequest(name=self.name), metadata=self.owner
            )
        else:
            async with self.gateway.database.unit_of_work() as work:
                key_id = await self.gateway.beside.fetchval(
                    "SELECT api_keys.id FROM api_keys JOIN users ON users.id = user_id WHERE email = $1",
                    self.reader_email,
                )
                await key_service.revoke(UUID(str(key_id)), work)

    async def trace_ids(self) -> list[str]:
        statement = "SELECT traces.id::text FROM traces JOIN namespaces ON namespaces.id = namespace_id WHERE name = $1"
        return [row[0] for row in await self.gateway.beside.fetch(statement, self.name)]


async def revocable(gateway: Gateway, owner: Metadata, kind: str, *, traces: int = 1) -> Revocable:
    """A namespace with so many traces, beyond the first of 300 KB each, and a reader."""
    name = kind.replace(" ", "-")
    reader_email = f"reader-{name}@example.org"
    scopes = EVERYTHING - {Scope.TRACES_ADMIN}
    reader = await a_bound_key(gateway.database, reader_email, scopes)
    visibility = (
        namespace_pb2.NAMESPACE_VISIBILITY_READABLE
        if kind == "made private"
        else namespace_pb2.NAMESPACE_VISIBILITY_PRIVATE
    )
    created = pb.CreateNamespaceRequest(name=name, visibility=visibility)
    await gateway.namespaces.CreateNamespace(created, metadata=owner)
    if kind != "made private":
        await set_member(gateway, owner, name, reader_email, Role.READER)
    wanted = trace_service_pb2.CreateTraceRequest(
        title="A title", context="A problem", solution="A cure", namespace=name
    )
    trace_id = (await gateway.traces.CreateTrace(wanted, metadata=owner)).created.id
    if traces > 1:
        await _copy(gateway.beside, trace_id, traces - 1)
    return Revocable(
        kind=kind,
        gateway=gateway,
        owner=owner,
        name=name,
        reader=reader,
        reader_email=reader_email,
        trace_id=trace_id,
    )


async def _copy(connection: asyncpg.Connection, trace_id: str, times: int) -> None:
    """Stores copies with long texts, of which no transport takes many in advance."""
    columns = _COLUMNS.replace("context_text", f"repeat('界', {_TEXT_CHARACTERS})", 1).replace(
        "solution_text", f"repeat('界', {_TEXT_CHARACTERS})", 1
    )
    copies = f"SELECT gen_random_uuid(), {columns} FROM traces, generate_series(1, {times}) WHERE id = $1"  # noqa: S608 - our own names
    await connection.execute(WITHOUT_WORDS)
    await connection.execute(f"INSERT INTO traces (id, {_COLUMNS}) {copies}", UUID(trace_id))
