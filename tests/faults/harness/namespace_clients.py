"""Clients that read, write and promote in namespaces at random, and have each answer judged."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2

from commontrace.domain.namespaces.namespace import COMMONS, Role, Visibility
from commontrace.v1 import namespace_pb2, trace_export_pb2, vote_pb2
from commontrace.v1 import namespace_service_pb2 as namespaces_pb
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vote_service_pb2 as votes_pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.contract.errors.error_promises import details
from tests.faults.harness.access_verdicts import Judge, Refused, Server, World
from tests.support.keys import Metadata

_DEADLINE_SECONDS = 30.0
_TEXTS = 400
_MESSAGES_OF_AN_EXPORT = 2


@dataclass(kw_only=True, eq=False)
class NamespaceClient:
    """A user who calls both servers at random."""

    judge: Judge
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
            self.judge.check_refusal(refusal, begun, TRACE_NOT_FOUND=(name, Role.READER))
        else:
            self.judge.check_trace(response.trace, begun)

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
            self.judge.check_refusal(
                refusal, begun, NAMESPACE_NOT_FOUND=(name, Role.READER), NAMESPACE_FORBIDDEN=(name, Role.WRITER)
            )
            return
        self.judge.check_write(name, begun)
        trace = getattr(response, response.WhichOneof("outcome"))
        self.judge.check_trace(trace, begun, of=name)
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
                    self.judge.check_trace(hit.trace, begun)
                searched |= set(response.summary.searched_namespaces)
        except Refused as refusal:
            known = {"TRACE_NOT_FOUND": (like, Role.READER)} if like else {}
            self.judge.check_end(refusal, begun, name, **known)
            return
        self.judge.check_names(searched, begun, due={name} if name else set(self.world.model.names))

    async def _list(self) -> None:
        name = self._namespace() if self.world.chance.random() < 0.3 else ""
        request = pb.ListTracesRequest(filter=_within(name), page_size=50)
        begun = time.monotonic()
        try:
            response = await _answer(self._server.traces.ListTraces(request, **self._call))
        except Refused as refusal:
            self.judge.check_refusal(refusal, begun, NAMESPACE_NOT_FOUND=(name, Role.READER))
            return
        for trace in response.traces:
            self.judge.check_trace(trace, begun)

    async def _export(self) -> None:
        name = self._namespace() if self.world.chance.random() < 0.3 else ""
        request = trace_export_pb2.ExportTracesRequest(filter=_within(name), batch_size=100)
        stream = self._server.traces.ExportTraces(request, **self._call)
        begun, messages = time.monotonic(), 0
        try:
            async for response in _messages(stream):
                for record in response.traces:
                    self.judge.check_shown(record.id, record.namespace, begun)
                messages += 1
                if messages == _MESSAGES_OF_AN_EXPORT:
                    break
        except Refused as refusal:
            self.judge.check_end(refusal, begun, name)
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
                self.judge.check_write(name, begun)
                return
            self.judge.check_refusal(
                refusal, begun, TRACE_NOT_FOUND=(name, Role.READER), NAMESPACE_FORBIDDEN=(name, Role.WRITER)
            )
        else:
            self.judge.check_write(name, begun)

    async def _promote(self) -> None:
        (trace_id, source), target = self._trace(), self._namespace()
        request = pb.PromoteTraceRequest(trace_id=trace_id, to_namespace=target)
        begun = time.monotonic()
        try:
            response = await _answer(self._server.traces.PromoteTrace(request, **self._call))
        except Refused as refusal:
            if refusal.reason == "FIELD_NOT_ALLOWED":
                self.judge.check_shown(trace_id, source, begun)
                return
            self.judge.check_refusal(
                refusal,
                begun,
                TRACE_NOT_FOUND=(source, Role.READER),
                NAMESPACE_NOT_FOUND=(target, Role.READER),
                NAMESPACE_FORBIDDEN=(target, Role.WRITER),
            )
            return
        self.judge.check_shown(trace_id, source, begun)
        self.judge.check_write(target, begun)
        self.judge.check_trace(getattr(response, response.WhichOneof("outcome")), begun, of=target)

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
