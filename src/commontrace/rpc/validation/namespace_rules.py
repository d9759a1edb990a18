"""Validation of requests about namespaces and their members."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from google.protobuf.message import Message

from commontrace.core.namespaces import service as namespace_service
from commontrace.domain import limits
from commontrace.rpc.messages.namespaces import BY_EMAIL, BY_NAME
from commontrace.rpc.validation import field_rules as rules
from commontrace.rpc.validation import stored_text_rules as stored
from commontrace.rpc.validation.invalid_request import Violation
from commontrace.v1 import error_reason_pb2 as reasons
from commontrace.v1 import namespace_pb2
from commontrace.v1 import namespace_service_pb2 as pb


def create_namespace(request: pb.CreateNamespaceRequest) -> Iterator[Violation]:
    """Yields the violations of a new namespace."""
    yield from rules.namespace("name", request.name)
    yield from stored.text("description", request.description, limits.NAMESPACE_DESCRIPTION_CHARACTERS)
    yield from rules.known_enum("visibility", request.visibility, namespace_pb2.NamespaceVisibility)
    yield from rules.optional_identifier("request_id", request.request_id)


def get_namespace(request: pb.GetNamespaceRequest) -> Iterator[Violation]:
    """Yields the violations of a request for one namespace."""
    yield from rules.namespace("name", request.name)


def list_namespaces(request: pb.ListNamespacesRequest) -> Iterator[Violation]:
    """Yields the violations of a request for a list of namespaces."""
    yield from rules.page_size(request.page_size)
    yield from BY_NAME.violations(request)


def update_namespace(request: pb.UpdateNamespaceRequest) -> Iterator[Violation]:
    """Yields the violations of a change, in the fields that the mask names."""
    changed = request.namespace
    yield from rules.namespace("namespace.name", changed.name)
    yield from rules.update_mask(request.update_mask, namespace_service.FIELDS)
    if "description" in request.update_mask.paths:
        most = limits.NAMESPACE_DESCRIPTION_CHARACTERS
        yield from stored.text("namespace.description", changed.description, most)
    if "visibility" in request.update_mask.paths:
        field, visibility = "namespace.visibility", changed.visibility
        yield from _given(field, visibility)
        yield from rules.known_enum(field, visibility, namespace_pb2.NamespaceVisibility)
    yield from rules.not_longer("etag", len(request.etag), limits.ETAG_CHARACTERS, "characters")
    yield from rules.optional_identifier("request_id", request.request_id)


def delete_namespace(request: pb.DeleteNamespaceRequest) -> Iterator[Violation]:
    """Yields the violations of a deletion."""
    yield from rules.namespace("name", request.name)
    yield from rules.optional_identifier("request_id", request.request_id)


def set_member(request: pb.SetMemberRequest) -> Iterator[Violation]:
    """Yields the violations of a request to give a user a role."""
    yield from remove_member(request)
    yield from _given("role", request.role)
    yield from rules.known_enum("role", request.role, namespace_pb2.NamespaceRole)


def remove_member(request: pb.SetMemberRequest | pb.RemoveMemberRequest) -> Iterator[Violation]:
    """Yields the violations of a request about a member."""
    yield from rules.namespace("namespace", request.namespace)
    yield from rules.stored_text("email", request.email, limits.EMAIL_CHARACTERS, required=True)
    yield from rules.optional_identifier("request_id", request.request_id)


def list_members(request: pb.ListMembersRequest) -> Iterator[Violation]:
    """Yields the violations of a request for a list of members."""
    yield from rules.namespace("namespace", request.namespace)
    yield from rules.page_size(request.page_size)
    yield from BY_EMAIL.violations(request)


def _given(field: str, value: int) -> Iterator[Violation]:
    if not value:
        yield Violation(field=field, reason=reasons.ERROR_REASON_FIELD_REQUIRED, message="is required")


RULES: dict[type[Message], Callable[[Any], Iterable[Violation]]] = {
    pb.CreateNamespaceRequest: create_namespace,
    pb.GetNamespaceRequest: get_namespace,
    pb.ListNamespacesRequest: list_namespaces,
    pb.UpdateNamespaceRequest: update_namespace,
    pb.DeleteNamespaceRequest: delete_namespace,
    pb.SetMemberRequest: set_member,
    pb.RemoveMemberRequest: remove_member,
    pb.ListMembersRequest: list_members,
}
"""The rules of NamespaceService, by request type."""
