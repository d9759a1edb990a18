"""Translation of namespaces and their members."""

from collections.abc import Sequence
from typing import Any

from commontrace.core.namespaces.service import NamespaceInfo
from commontrace.domain import limits
from commontrace.domain.namespaces.namespace import Role, Visibility, is_name
from commontrace.domain.traces.contribution import etag
from commontrace.rpc.messages.timestamps import timestamp
from commontrace.rpc.paging.page_tokens import TokenField, by_text, page_size
from commontrace.storage.namespaces.members import MemberRow
from commontrace.v1 import namespace_pb2
from commontrace.v1 import namespace_service_pb2 as pb

_VISIBILITY = {
    Visibility.PRIVATE: namespace_pb2.NAMESPACE_VISIBILITY_PRIVATE,
    Visibility.READABLE: namespace_pb2.NAMESPACE_VISIBILITY_READABLE,
    Visibility.OPEN: namespace_pb2.NAMESPACE_VISIBILITY_OPEN,
}
_VISIBILITY_OF = {message: visibility for visibility, message in _VISIBILITY.items()}
_ROLE = {
    Role.READER: namespace_pb2.NAMESPACE_ROLE_READER,
    Role.WRITER: namespace_pb2.NAMESPACE_ROLE_WRITER,
    Role.MODERATOR: namespace_pb2.NAMESPACE_ROLE_MODERATOR,
    Role.OWNER: namespace_pb2.NAMESPACE_ROLE_OWNER,
}
_ROLE_OF = {message: role for role, message in _ROLE.items()}


def _unpack_name(packed: Sequence[Any]) -> str:
    [name] = packed
    if not is_name(name):
        raise ValueError
    return name  # type: ignore[no-any-return] # a string: another type fails above


BY_NAME: TokenField[str] = TokenField(pack=lambda name: [name], unpack=_unpack_name)
"""Page tokens of lists of namespaces."""

BY_EMAIL = by_text(limits.EMAIL_CHARACTERS)
"""Page tokens of lists of members."""


def namespace_message(info: NamespaceInfo) -> namespace_pb2.Namespace:
    """Returns the message of a namespace."""
    row = info.row
    return namespace_pb2.Namespace(
        name=row.name,
        description=row.description,
        visibility=_VISIBILITY[Visibility(row.visibility)],
        trace_count=row.trace_count,
        my_role=_ROLE[info.role],
        create_time=timestamp(row.created_at),
        etag=etag(row.edit_number),
    )


def member_message(member: MemberRow) -> namespace_pb2.NamespaceMember:
    """Returns the message of a member."""
    return namespace_pb2.NamespaceMember(
        user_id=str(member.user_id),
        email=member.email,
        display_name=member.display_name,
        role=_ROLE[Role[member.role.upper()]],
        create_time=timestamp(member.created_at),
    )


def visibility(value: namespace_pb2.NamespaceVisibility.ValueType) -> Visibility:
    """Returns the visibility of a valid request; PRIVATE unless it says otherwise."""
    return _VISIBILITY_OF.get(value, Visibility.PRIVATE)


def role(value: namespace_pb2.NamespaceRole.ValueType) -> Role:
    """Returns the role of a valid request."""
    return _ROLE_OF[value]


def changes(request: pb.UpdateNamespaceRequest) -> dict[str, Any]:
    """Returns the new values of a valid request, by field."""
    values: dict[str, Any] = {path: getattr(request.namespace, path) for path in request.update_mask.paths}
    if "visibility" in values:
        values["visibility"] = visibility(values["visibility"])
    return values


def namespaces_page(infos: Sequence[NamespaceInfo], request: pb.ListNamespacesRequest) -> pb.ListNamespacesResponse:
    """Returns the page; one namespace more than it has shows whether another page follows."""
    shown = infos[: page_size(request.page_size)]
    token = BY_NAME.token(request, shown[-1].row.name) if len(shown) < len(infos) else ""
    return pb.ListNamespacesResponse(namespaces=map(namespace_message, shown), next_page_token=token)


def members_page(members: Sequence[MemberRow], request: pb.ListMembersRequest) -> pb.ListMembersResponse:
    """Returns the page; one member more than it has shows whether another page follows."""
    shown = members[: page_size(request.page_size)]
    token = BY_EMAIL.token(request, shown[-1].email) if len(shown) < len(members) else ""
    return pb.ListMembersResponse(members=map(member_message, shown), next_page_token=token)
