"""World of the matrix: a server that asks for keys, its namespaces, and the traces that the calls are about."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import uuid4

import asyncpg
import grpc
import numpy as np

from commontrace.core.keys import service as key_service
from commontrace.domain.namespaces.namespace import COMMONS, Role
from commontrace.domain.scopes import EVERYTHING, Scope
from commontrace.embeddings.embedder import Embedder
from commontrace.serving.bootstrap import Foundation
from commontrace.serving.server import serving
from commontrace.storage.database import Database
from commontrace.storage.namespaces.enabling import enable
from commontrace.v1 import namespace_pb2, trace_service_pb2, vote_pb2, vote_service_pb2
from commontrace.v1 import namespace_service_pb2 as pb
from commontrace.v1.namespace_service_pb2_grpc import NamespaceServiceStub
from commontrace.v1.tag_service_pb2_grpc import TagServiceStub
from commontrace.v1.trace_filter_pb2 import TraceFilter
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from commontrace.v1.vote_service_pb2_grpc import VoteServiceStub
from tests.conftest import server_settings
from tests.contract.namespaces.seats import ELSEWHERE, OPEN, READABLE, SEATS, WALLED, Seat
from tests.support.keys import Metadata, bearer

AUTHOR, GUEST = "author@example.org", "guest@example.org"
_VISIBILITY = {
    WALLED: namespace_pb2.NAMESPACE_VISIBILITY_PRIVATE,
    ELSEWHERE: namespace_pb2.NAMESPACE_VISIBILITY_PRIVATE,
    READABLE: namespace_pb2.NAMESPACE_VISIBILITY_READABLE,
    OPEN: namespace_pb2.NAMESPACE_VISIBILITY_OPEN,
}
_ROLES = {role: namespace_pb2.NamespaceRole.Value(f"NAMESPACE_ROLE_{role.name}") for role in Role}


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """A server with its stubs, and its database."""

    address: str
    channel: grpc.aio.Channel
    database: Database
    beside: asyncpg.Connection
    """A connection that is none of the server's."""
    traces: Any
    votes: Any
    tags: Any
    namespaces: Any


@asynccontextmanager
async def gateway(url: str, embedder: Embedder, **settings: Any) -> AsyncIterator[Gateway]:
    """A server that asks for keys. Namespaces are enabled before."""
    await enable(url)
    database = Database(url, pool_timeout=10)
    foundation = Foundation(database=database, embedder=embedder)
    changes = {"authentication": "keys", "quota_tag_names_per_day": 0, **settings}
    beside = await asyncpg.connect(url.replace("+asyncpg", ""))
    async with (
        serving(server_settings(**changes), foundation) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield Gateway(
            address=address,
            channel=channel,
            database=database,
            beside=beside,
            traces=TraceServiceStub(channel),
            votes=VoteServiceStub(channel),
            tags=TagServiceStub(channel),
            namespaces=NamespaceServiceStub(channel),
        )
    await beside.close()
    await database.close()


async def a_bound_key(
    database: Database, email: str, scopes: Collection[Scope] = EVERYTHING, namespaces: Collection[str] = ()
) -> Metadata:
    """The metadata of calls with a new key of a user, who appears with it."""
    async with database.unit_of_work() as work:
        await work.users.get_or_create(email)
        return bearer(await key_service.create(email, scopes, work, namespaces=namespaces))


async def set_member(gateway: Gateway, owner: Metadata, namespace: str, email: str, role: Role) -> None:
    wanted = pb.SetMemberRequest(namespace=namespace, email=email, role=_ROLES[role])
    await gateway.namespaces.SetMember(wanted, metadata=owner)


async def remove_member(gateway: Gateway, owner: Metadata, namespace: str, email: str) -> None:
    await gateway.namespaces.RemoveMember(pb.RemoveMemberRequest(namespace=namespace, email=email), metadata=owner)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a call is about: a trace with a tag and words of its own, in a namespace, and its author."""

    trace_id: str
    tag: str
    word: str
    namespace: str
    author_id: str
    vector: bytes = field(repr=False, default=b"")

    @property
    def texts(self) -> dict[str, Any]:
        return {
            "title": f"The {self.word} does not start",
            "context": f"Since the last release, the {self.word} stops with an error.",
            "solution": f"Restart the {self.word} twice.",
        }


class World:
    """The namespaces, the keys of the callers, and makers of subjects."""

    def __init__(self, gateway: Gateway, keys: Mapping[str, Metadata], admin: Metadata, author: Metadata) -> None:
        self.gateway, self.keys, self.admin, self._author = gateway, keys, admin, author
        self._numbers = count(1)

    def key(self, seat: Seat) -> Metadata:
        return self.keys[seat.name]

    async def seated(self, seat: Seat) -> Metadata:
        """Returns the caller's key; one who is removed has just been an owner, and called."""
        if seat.is_removed:
            await set_member(self.gateway, self.admin, seat.namespace, seat.email, Role.OWNER)
            wanted = pb.GetNamespaceRequest(name=seat.namespace)
            await self.gateway.namespaces.GetNamespace(wanted, metadata=self.key(seat))
            await remove_member(self.gateway, self.admin, seat.namespace, seat.email)
        return self.key(seat)

    async def subject(self, kind: str, seat: Seat, *, namespace: str = "") -> Subject:
        """Stores a trace. `kind` are words: `own` of the caller, `deleted`, `hidden`, `voted` on by the caller."""
        word, place = f"w{uuid4().hex[:10]}", namespace or seat.namespace
        subject = Subject(trace_id="", tag=f"tag-{word}", word=word, namespace=place, author_id="")
        wanted = trace_service_pb2.CreateTraceRequest(**subject.texts, tags=[subject.tag], namespace=place)
        created = (await self.gateway.traces.CreateTrace(wanted, metadata=self._author)).created
        if "voted" in kind:
            ballot = vote_service_pb2.CastVoteRequest(trace_id=created.id, type=vote_pb2.VOTE_TYPE_UP)
            await self.gateway.votes.CastVote(ballot, metadata=self.admin)
            await self._give("votes", "voter_id", "trace_id", created.id, seat)
        if "hidden" in kind:
            hidden = trace_service_pb2.HideTraceRequest(trace_id=created.id, reason="a reason")
            await self.gateway.traces.HideTrace(hidden, metadata=self.admin)
        if "deleted" in kind:
            gone = trace_service_pb2.DeleteTraceRequest(trace_id=created.id)
            await self.gateway.traces.DeleteTrace(gone, metadata=self._author)
        if "own" in kind:
            await self._give("traces", "contributor_id", "id", created.id, seat)
        vector = await self.gateway.beside.fetchval("SELECT embedding::real[] FROM traces WHERE id = $1", created.id)
        return Subject(
            trace_id=created.id,
            tag=subject.tag,
            word=word,
            namespace=place,
            author_id=created.contributor_id,
            vector=packed(vector),
        )

    async def purge(self, trace_id: str) -> None:
        wanted = trace_service_pb2.PurgeTraceRequest(trace_id=trace_id)
        await self.gateway.traces.PurgeTrace(wanted, metadata=self.admin)

    async def _give(self, table: str, column: str, key: str, value: str, seat: Seat) -> None:
        statement = f"UPDATE {table} SET {column} = (SELECT id FROM users WHERE email = $1) WHERE {key} = $2"  # noqa: S608 - our own names
        await self.gateway.beside.execute(statement, seat.email, value)


def tagged(field: str, *values: str) -> TraceFilter:
    """A filter by one of the fields that are lists of texts."""
    fields: dict[str, Any] = {field: values}
    return TraceFilter(**fields)


def packed(components: Collection[float]) -> bytes:
    """A vector as requests carry it."""
    return np.array(components, "<f4").tobytes()


@asynccontextmanager
async def world(gateway: Gateway) -> AsyncIterator[World]:
    """The namespaces with their members. The author writes in all of them, the admin owns them."""
    admin = await a_bound_key(gateway.database, "root@example.org")
    author = await a_bound_key(gateway.database, AUTHOR, EVERYTHING - {Scope.TRACES_ADMIN})
    await a_bound_key(gateway.database, GUEST)
    for name, visibility in _VISIBILITY.items():
        created = pb.CreateNamespaceRequest(name=name, visibility=visibility)
        await gateway.namespaces.CreateNamespace(created, metadata=admin)
        await set_member(gateway, admin, name, AUTHOR, Role.WRITER)
    keys = {}
    for seat in SEATS:
        keys[seat.name] = await a_bound_key(gateway.database, seat.email, seat.scopes, seat.bound_to)
        for name, role in seat.member_of:
            await set_member(gateway, admin, name, seat.email, role)
    built = World(gateway, keys, admin, author)
    # Something that everybody finds.
    await built.subject("", SEATS[0], namespace=COMMONS)
    yield built
