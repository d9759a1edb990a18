"""NamespaceService: the servicer of namespaces and their members (ADR 0061)."""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from google.protobuf.message import Message

from commontrace.core.namespaces import service as namespace_service
from commontrace.rpc.access import CallAccess
from commontrace.rpc.call import Context
from commontrace.rpc.idempotency import IdempotentWrites, Unprepared
from commontrace.rpc.messages import namespaces
from commontrace.rpc.paging.page_tokens import page_size
from commontrace.storage.database import Database
from commontrace.storage.unit_of_work import UnitOfWork
from commontrace.v1 import namespace_service_pb2 as pb
from commontrace.v1 import namespace_service_pb2_grpc

Result = TypeVar("Result")
Response = TypeVar("Response", bound=Message)


class NamespaceServicer(namespace_service_pb2_grpc.NamespaceServiceServicer):
    """NamespaceService."""

    def __init__(self, database: Database, writes: IdempotentWrites, access: CallAccess) -> None:
        self._database = database
        self._writes = writes
        self._access = access

    async def CreateNamespace(
        self, request: pb.CreateNamespaceRequest, _context: Context
    ) -> pb.CreateNamespaceResponse:
        """Creates a namespace, whose first owner the caller is."""
        access = await self._access.resolve()
        return await self._write(
            request,
            lambda work, caller_id: namespace_service.create(
                request.name,
                description=request.description,
                visibility=namespaces.visibility(request.visibility),
                access=access,
                work=work,
                caller_id=caller_id,
            ),
            lambda info: pb.CreateNamespaceResponse(namespace=namespaces.namespace_message(info)),
        )

    async def GetNamespace(self, request: pb.GetNamespaceRequest, _context: Context) -> pb.GetNamespaceResponse:
        """Returns one namespace."""
        access = await self._access.resolve()
        info = await self._database.read(lambda reading: namespace_service.get(request.name, access, reading))
        return pb.GetNamespaceResponse(namespace=namespaces.namespace_message(info))

    async def ListNamespaces(self, request: pb.ListNamespacesRequest, _context: Context) -> pb.ListNamespacesResponse:
        """Returns a page of the namespaces that the caller may read."""
        access, after = await self._access.resolve(), namespaces.BY_NAME.position(request)
        # One more than the page has shows whether another page follows.
        size = page_size(request.page_size) + 1
        infos = await self._database.read(
            lambda reading: namespace_service.list_readable(access, reading, after=after, size=size)
        )
        return namespaces.namespaces_page(infos, request)

    async def UpdateNamespace(
        self, request: pb.UpdateNamespaceRequest, _context: Context
    ) -> pb.UpdateNamespaceResponse:
        """Changes the description or the visibility of a namespace."""
        access = await self._access.resolve()
        return await self._write(
            request,
            lambda work, caller_id: namespace_service.update(
                request.namespace.name,
                namespaces.changes(request),
                request.etag,
                access=access,
                work=work,
                caller_id=caller_id,
            ),
            lambda info: pb.UpdateNamespaceResponse(namespace=namespaces.namespace_message(info)),
        )

    async def DeleteNamespace(
        self, request: pb.DeleteNamespaceRequest, _context: Context
    ) -> pb.DeleteNamespaceResponse:
        """Deletes an empty namespace."""
        access = await self._access.resolve()
        return await self._write(
            request,
            lambda work, caller_id: namespace_service.delete(
                request.name, access=access, work=work, caller_id=caller_id
            ),
            lambda _: pb.DeleteNamespaceResponse(name=request.name),
        )

    async def SetMember(self, request: pb.SetMemberRequest, _context: Context) -> pb.SetMemberResponse:
        """Makes a user a member, or gives a member another role."""
        access = await self._access.resolve()
        return await self._write(
            request,
            lambda work, caller_id: namespace_service.set_member(
                request.namespace,
                _address(request.email),
                namespaces.role(request.role),
                access=access,
                work=work,
                caller_id=caller_id,
            ),
            lambda member: pb.SetMemberResponse(member=namespaces.member_message(member)),
        )

    async def RemoveMember(self, request: pb.RemoveMemberRequest, _context: Context) -> pb.RemoveMemberResponse:
        """Ends a membership."""
        access = await self._access.resolve()
        return await self._write(
            request,
            lambda work, caller_id: namespace_service.remove_member(
                request.namespace, _address(request.email), access=access, work=work, caller_id=caller_id
            ),
            lambda member: pb.RemoveMemberResponse(member=namespaces.member_message(member)),
        )

    async def ListMembers(self, request: pb.ListMembersRequest, _context: Context) -> pb.ListMembersResponse:
        """Returns a page of the members of a namespace."""
        access, after = await self._access.resolve(), namespaces.BY_EMAIL.position(request)
        # One more than the page has shows whether another page follows.
        size = page_size(request.page_size) + 1
        members = await self._database.read(
            lambda reading: namespace_service.list_members(request.namespace, access, reading, after=after, size=size)
        )
        return namespaces.members_page(members, request)

    async def _write(
        self,
        request: Message,
        store: Callable[[UnitOfWork, UUID], Awaitable[Result]],
        pack: Callable[[Result], Response],
    ) -> Response:
        response = await self._writes.execute(request, Unprepared(store), pack)
        self._access.changed()
        return response


def _address(email: str) -> str:
    return email.strip().lower()
