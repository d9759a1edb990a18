"""Calls of NamespaceService, and the promotion of a trace into another namespace."""

from collections.abc import AsyncIterator
from typing import Literal
from uuid import UUID

from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.client.aio.pages import PagedCalls
from commontrace.client.requests import request_id_of
from commontrace.v1 import namespace_pb2, namespace_service_pb2, trace_service_pb2

Visibility = Literal["private", "readable", "open"]
Role = Literal["reader", "writer", "moderator", "owner"]


class NamespaceCalls(PagedCalls):
    """Calls about namespaces. Writes take a `request_id` (a UUID, by default a new one), their idempotency key."""

    async def create_namespace(
        self,
        name: str,
        *,
        description: str = "",
        visibility: Visibility = "private",
        request_id: str | UUID | None = None,
    ) -> namespace_pb2.Namespace:
        """Creates a namespace, whose first owner the caller is.

        A "private" one is read and written by its members; a "readable" one is read by every user; an "open" one is
        read and written by every user.
        """
        request = namespace_service_pb2.CreateNamespaceRequest(
            name=name,
            description=description,
            visibility=_visibility_value(visibility),
            request_id=request_id_of(request_id),
        )
        response = await self._call(self._namespaces.CreateNamespace, request)
        return response.namespace

    async def get_namespace(self, name: str) -> namespace_pb2.Namespace:
        """Returns a namespace; `my_role` is the caller's effective role there."""
        request = namespace_service_pb2.GetNamespaceRequest(name=name)
        response = await self._call(self._namespaces.GetNamespace, request)
        return response.namespace

    async def list_namespaces(self, *, page_size: int = 0) -> AsyncIterator[namespace_pb2.Namespace]:
        """Yields the namespaces that the caller may read, by name; `page_size` is the number that one call fetches."""
        request = namespace_service_pb2.ListNamespacesRequest(page_size=page_size)
        async for page in self._pages(self._namespaces.ListNamespaces, request):
            for namespace in page.namespaces:
                yield namespace

    async def update_namespace(
        self,
        name: str,
        *,
        description: str | None = None,
        visibility: Visibility | None = None,
        etag: str | None = None,
        request_id: str | UUID | None = None,
    ) -> namespace_pb2.Namespace:
        """Updates the given fields of a namespace that the caller owns; None leaves a field unchanged.

        With `etag`, the call fails if the namespace was changed since it was read.
        """
        changes = {"description": description, "visibility": visibility}
        given = [field for field, value in changes.items() if value is not None]
        changed = namespace_pb2.Namespace(name=name, description=description or "")
        if visibility is not None:
            changed.visibility = _visibility_value(visibility)
        request = namespace_service_pb2.UpdateNamespaceRequest(
            namespace=changed,
            update_mask=FieldMask(paths=given),
            etag=etag or "",
            request_id=request_id_of(request_id),
        )
        response = await self._call(self._namespaces.UpdateNamespace, request)
        return response.namespace

    async def delete_namespace(self, name: str, *, request_id: str | UUID | None = None) -> None:
        """Deletes an empty namespace that the caller owns; its name is never given again."""
        request = namespace_service_pb2.DeleteNamespaceRequest(name=name, request_id=request_id_of(request_id))
        await self._call(self._namespaces.DeleteNamespace, request)

    async def set_member(
        self, namespace: str, email: str, role: Role, *, request_id: str | UUID | None = None
    ) -> namespace_pb2.NamespaceMember:
        """Makes a user a member of a namespace that the caller owns, or gives a member another role.

        Each role includes those before it: a "reader" reads; a "writer" contributes, edits its own traces and votes; a
        "moderator" hides and purges traces of others; an "owner" manages members, description and visibility.
        """
        request = namespace_service_pb2.SetMemberRequest(
            namespace=namespace,
            email=email,
            role=namespace_pb2.NamespaceRole.Value(f"NAMESPACE_ROLE_{role.upper()}"),
            request_id=request_id_of(request_id),
        )
        response = await self._call(self._namespaces.SetMember, request)
        return response.member

    async def remove_member(
        self, namespace: str, email: str, *, request_id: str | UUID | None = None
    ) -> namespace_pb2.NamespaceMember:
        """Ends a membership and returns it as it was. Needs the role "owner"; members may end their own."""
        request = namespace_service_pb2.RemoveMemberRequest(
            namespace=namespace, email=email, request_id=request_id_of(request_id)
        )
        response = await self._call(self._namespaces.RemoveMember, request)
        return response.member

    async def list_members(self, namespace: str, *, page_size: int = 0) -> AsyncIterator[namespace_pb2.NamespaceMember]:
        """Yields the members of a namespace that the caller owns, by e-mail address."""
        request = namespace_service_pb2.ListMembersRequest(namespace=namespace, page_size=page_size)
        async for page in self._pages(self._namespaces.ListMembers, request):
            for member in page.members:
                yield member

    async def promote_trace(
        self, trace_id: str | UUID, to_namespace: str, *, request_id: str | UUID | None = None
    ) -> trace_service_pb2.PromoteTraceResponse:
        """Copies a trace into another namespace, where it starts without votes; the caller owns the copy.

        Where a trace with the same content is there already, that is returned as `existing`.
        """
        request = trace_service_pb2.PromoteTraceRequest(
            trace_id=str(trace_id), to_namespace=to_namespace, request_id=request_id_of(request_id)
        )
        return await self._call(self._traces.PromoteTrace, request)


def _visibility_value(visibility: Visibility) -> namespace_pb2.NamespaceVisibility.ValueType:
    return namespace_pb2.NamespaceVisibility.Value(f"NAMESPACE_VISIBILITY_{visibility.upper()}")
