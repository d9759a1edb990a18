"""Clients that read, write and promote in namespaces at random, and judge each answer by the model of access."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2

from commontrace.domain.namespaces.namespace import COMMONS, Role, Visibility
from commontrace.v1 import namespace_pb2, trace_export_pb2, trace_pb2, vote_pb2
from commontrace.v1 import namespace_service_pb2 as namespaces_pb
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vote_service_pb2 as votes_pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.contract.errors.error_promises import details
from tests.faults.harness.access_model import AccessModel, Window
from tests.support.keys import Metadata

_DEADLINE_SECONDS = 30.0
_TEXTS = 400
_MESSAGES_OF_AN_EXPORT = 2
_OVERLOADED = {"OVERLOADED"}


@dataclass(frozen=True, kw_only=True)
class Server:
    """Stubs of one server."""

    traces: Any
    votes: Any
    namespaces: Any


@dataclass(kw_only=True)
class World:
    """State shared by all clients, and what they found."""

    model: AccessModel
    chance: random.Random
    servers: list[Server]
    root: Metadata
    most: int
    traces: dict[str, str] = field(default_factory=dict)
    """Ids of traces that were acknowledged, with the names of their namespaces."""
    locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    operations: int = 0
    shown: int = 0
    refused: int = 0
    decided: int = 0
    """Refusals and things shown about which no change within the window leaves a doubt."""
    leaks: list[str] = field(default_factory=list)
    wrongly_refused: list[str] = field(default_factory=list)
    numbers: Any = field(default_factory=count)


class Refused(Exception):
    """A call failed for a reason of the contract."""

    def __init__(self, reason: str, metadata: dict[str, str]) -> None:
        super().__init__(reason)
        self.reason, self.metadata = reason, metadata


@dataclass(kw_only=True, eq=False)
class NamespaceClient:
    """A user who calls both servers at random."""

    user: str
    key: Metadata
    world: World

    async def act(self) -> None:
        """Calls until there were enough operations in all."""
        kinds = (
            *([self._get] * 22),
            *([self._create] * 14),
            *([self._search] * 14),
            *([self._search_like] * 8),
            *([self._list] * 14),
            *([self._vote] * 14),
            *([self._promote] * 8),
            *([self._export] * 5),
            *([self._change] * 1),
        )
        while self.world.operations < self.world.most:
            self.world.operations += 1
            await self.world.chance.choice(kinds)()

    @property
    def _server(self) -> Server:
        return self.world.chance.choice(self.world.servers)

    def _namespace(self) -> str:
        return self.world.chance.choice(self.world.model.names)

    def _trace(self) -> tuple[str, str]:
        return self.world.chance.choice(list(self.world.traces.items()))

    async def _get(self) -> None:
        trace_id, name = self._trace()
        begun = time.monotonic()
        try:
            response = await _answer(self._server.traces.GetTrace(pb.GetTraceRequest(trace_id=trace_id), **self._call))
        except Refused as refusal:
            self._check_refusal(refusal, begun, TRACE_NOT_FOUND=(name, Role.READER))
        else:
            self._check_trace(response.trace, begun)

    async def _create(self) -> None:
        name, number = self._namespace(), self.world.chance.randrange(_TEXTS)
        request = pb.CreateTraceRequest(
            title=f"Error {number} of the build",
            context=f"The build {number} stops, and says so in word{number % 40}.",
            solution=f"Clean the cache {number}.",
            namespace=name,
        )
        begun = time.monotonic()
        try:
            response = await _answer(self._server.traces.CreateTrace(request, **self._call))
        except Refused as refusal:
            self._check_refusal(
                refusal, begun, NAMESPACE_NOT_FOUND=(name, Role.READER), NAMESPACE_FORBIDDEN=(name, Role.WRITER)
            )
            return
        self._check_write(name, begun)
        trace = getattr(response, response.WhichOneof("outcome"))
        self._check_trace(trace, begun, of=name)
        for similar in response.similar:
            if self.world.traces.get(similar.trace_id, name) != name:
                self.world.leaks.append(f"{similar.trace_id} is similar across a wall")

    async def _search(self) -> None:
        name = self._namespace() if self.world.chance.random() < 0.3 else ""
        text = f"the build stops with word{self.world.chance.randrange(40)}"
        await self._found(pb.SearchTracesRequest(text=text, limit=50, filter=_within(name)), name)

    async def _search_like(self) -> None:
        trace_id, name = self._trace()
        await self._found(pb.SearchTracesRequest(trace_id=trace_id, limit=20), "", like=name)

    async def _found(self, request: pb.SearchTracesRequest, name: str, *, like: str = "") -> None:
        begun = time.monotonic()
        searched = set[str]()
        try:
            async for response in _messages(self._server.traces.SearchTraces(request, **self._call)):
                for hit in response.hits:
                    self._check_trace(hit.trace, begun)
                searched |= set(response.summary.searched_namespaces)
        except Refused as refusal:
            known = {"TRACE_NOT_FOUND": (like, Role.READER)} if like else {}
            self._check_end(refusal, begun, name, **known)
            return
        self._check_names(searched, begun, due={name} if name else set(self.world.model.names))

    async def _list(self) -> None:
        name = self._namespace() if self.world.chance.random() < 0.3 else ""
        request = pb.ListTracesRequest(filter=_within(name), page_size=50)
        begun = time.monotonic()
        try:
            response = await _answer(self._server.traces.ListTraces(request, **self._call))
        except Refused as refusal:
            self._check_refusal(refusal, begun, NAMESPACE_NOT_FOUND=(name, Role.READER))
            return
        for trace in response.traces:
            self._check_trace(trace, begun)

    async def _export(self) -> None:
        name = self._namespace() if self.world.chance.random() < 0.3 else ""
        request = trace_export_pb2.ExportTracesRequest(filter=_within(name), batch_size=100)
        stream = self._server.traces.ExportTraces(request, **self._call)
        begun, messages = time.monotonic(), 0
        try:
            async for response in _messages(stream):
                for record in response.traces:
                    self._check_shown(record.id, record.namespace, begun)
                messages += 1
                if messages == _MESSAGES_OF_AN_EXPORT:
                    break
        except Refused as refusal:
            self._check_end(refusal, begun, name)
        finally:
            stream.cancel()

    async def _vote(self) -> None:
        trace_id, name = self._trace()
        request = votes_pb.CastVoteRequest(trace_id=trace_id, type=vote_pb2.VOTE_TYPE_UP)
        begun = time.monotonic()
        try:
            await _answer(self._server.votes.CastVote(request, **self._call))
        except Refused as refusal:
            if refusal.reason == "OWN_TRACE":
                self._check_write(name, begun)
                return
            self._check_refusal(
                refusal, begun, TRACE_NOT_FOUND=(name, Role.READER), NAMESPACE_FORBIDDEN=(name, Role.WRITER)
            )
        else:
            self._check_write(name, begun)

    async def _promote(self) -> None:
        (trace_id, source), target = self._trace(), self._namespace()
        request = pb.PromoteTraceRequest(trace_id=trace_id, to_namespace=target)
        begun = time.monotonic()
        try:
            response = await _answer(self._server.traces.PromoteTrace(request, **self._call))
        except Refused as refusal:
            if refusal.reason == "FIELD_NOT_ALLOWED":
                self._check_shown(trace_id, source, begun)
                return
            self._check_refusal(
                refusal,
                begun,
                TRACE_NOT_FOUND=(source, Role.READER),
                NAMESPACE_NOT_FOUND=(target, Role.READER),
                NAMESPACE_FORBIDDEN=(target, Role.WRITER),
            )
            return
        self._check_shown(trace_id, source, begun)
        self._check_write(target, begun)
        self._check_trace(getattr(response, response.WhichOneof("outcome")), begun, of=target)

    async def _change(self) -> None:
        """Changes a member or the visibility, by an admin's call to one of the servers."""
        chance, server, model = self.world.chance, self._server, self.world.model
        name = chance.choice([name for name in model.names if name != COMMONS])
        user = chance.choice(list(model.users))
        async with self.world.locks.setdefault(name, asyncio.Lock()):
            if chance.random() < 0.2:
                visibility = chance.choice(list(Visibility))
                changed = namespace_pb2.Namespace(name=name, visibility=_VISIBILITIES[visibility])
                request = namespaces_pb.UpdateNamespaceRequest(
                    namespace=changed, update_mask=FieldMask(paths=["visibility"])
                )
                async with model.change(name, visibility=visibility):
                    await _answer(server.namespaces.UpdateNamespace(request, **self._root))
            elif user in model.members(name):
                removed = namespaces_pb.RemoveMemberRequest(namespace=name, email=user)
                async with model.change(name, member=(user, None)):
                    await _answer(server.namespaces.RemoveMember(removed, **self._root))
            else:
                role = chance.choice((Role.READER, Role.WRITER, Role.MODERATOR))
                added = namespaces_pb.SetMemberRequest(namespace=name, email=user, role=_ROLES[role])
                async with model.change(name, member=(user, role)):
                    await _answer(server.namespaces.SetMember(added, **self._root))

    def _check_trace(self, trace: trace_pb2.Trace, begun: float, *, of: str = "") -> None:
        self._check_shown(trace.id, of or trace.namespace, begun)
        self.world.traces.setdefault(trace.id, trace.namespace)
        if trace.promoted_from_trace_id:
            source = trace.promoted_from_trace_id
            self._check_shown(source, self.world.traces.get(source, COMMONS), begun)

    def _check_shown(self, trace_id: str, name: str, begun: float) -> None:
        known = self.world.traces.get(trace_id, name)
        self._check_allowed(f"shows {trace_id}", known, Role.READER, begun)
        if known != name:
            self.world.leaks.append(f"{trace_id} of {known} is shown as of {name}")

    def _check_write(self, name: str, begun: float) -> None:
        self._check_allowed("was written", name, Role.WRITER, begun)

    def _check_allowed(self, what: str, name: str, needed: Role, begun: float) -> None:
        window = Window(begun, time.monotonic())
        self.world.shown += 1
        self.world.decided += len(self.world.model.roles(self.user, name, window)) == 1
        if not self.world.model.may(self.user, name, needed, window):
            self.world.leaks.append(f"{self.user}: {name} {what}")

    def _check_names(self, searched: set[str], begun: float, *, due: set[str]) -> None:
        window = Window(begun, time.monotonic())
        for name in searched:
            self._check_allowed("was searched", name, Role.READER, begun)
        for name in due - searched:
            if self.world.model.must(self.user, name, Role.READER, window):
                self.world.wrongly_refused.append(f"{self.user}: {name} was not searched")

    def _check_refusal(self, refusal: Refused, begun: float, **known: tuple[str, Role]) -> None:
        """Judges a refusal. `known` are the namespaces that it is about, by reason, with the role that it denies."""
        if refusal.reason in _OVERLOADED:
            return
        assert refusal.reason in known, refusal.reason
        name, needed = known[refusal.reason]
        window = Window(begun, time.monotonic())
        self.world.refused += 1
        self.world.decided += len(self.world.model.roles(self.user, name, window)) == 1
        if self.world.model.must(self.user, name, needed, window):
            self.world.wrongly_refused.append(f"{self.user}: {refusal.reason} in {name}")
        if refusal.reason == "NAMESPACE_FORBIDDEN":
            # Tells that there is something.
            self._check_allowed("was told of", name, Role.READER, begun)

    def _check_end(self, refusal: Refused, begun: float, name: str, **known: tuple[str, Role]) -> None:
        """Judges the end of a stream: without a filter, the loss of any namespace ends it."""
        if refusal.reason == "NAMESPACE_NOT_FOUND":
            known = {"NAMESPACE_NOT_FOUND": (name or refusal.metadata["namespace"], Role.READER)}
        self._check_refusal(refusal, begun, **known)

    @property
    def _call(self) -> dict[str, Any]:
        return {"metadata": self.key, "timeout": _DEADLINE_SECONDS}

    @property
    def _root(self) -> dict[str, Any]:
        return {"metadata": self.world.root, "timeout": _DEADLINE_SECONDS}


_VISIBILITIES = {one: namespace_pb2.NamespaceVisibility.Value(f"NAMESPACE_VISIBILITY_{one.name}") for one in Visibility}
_ROLES = {one: namespace_pb2.NamespaceRole.Value(f"NAMESPACE_ROLE_{one.name}") for one in Role}


def _within(name: str) -> TraceFilter | None:
    return TraceFilter(namespaces=[name]) if name else None


async def _answer(call: Awaitable[Any]) -> Any:
    """Returns the answer. Raises Refused."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise _refusal(error) from None


async def _messages(stream: Any) -> AsyncIterator[Any]:
    """Yields the messages of a stream. Raises Refused."""
    try:
        async for response in stream:
            yield response
    except grpc.aio.AioRpcError as error:
        raise _refusal(error) from None


def _refusal(error: grpc.aio.AioRpcError) -> Exception:
    infos = details(error, error_details_pb2.ErrorInfo)
    return Refused(infos[0].reason, dict(infos[0].metadata)) if infos else error
