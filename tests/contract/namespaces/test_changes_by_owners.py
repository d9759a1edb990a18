"""Changes by owners: of one who was just removed, while others store traces in the namespace, and beside a list."""

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.domain.namespaces.namespace import Role
from commontrace.v1 import namespace_pb2
from commontrace.v1 import namespace_service_pb2 as pb
from tests.contract.callers import reason_of
from tests.contract.namespaces.parties import INSIDER, OUTSIDER, WALLED, Parties
from tests.support.locks import held

_OPENED = namespace_pb2.Namespace(name=WALLED, visibility=namespace_pb2.NAMESPACE_VISIBILITY_OPEN)
_REQUESTS = {
    "SetMember": pb.SetMemberRequest(namespace=WALLED, email=INSIDER, role=namespace_pb2.NAMESPACE_ROLE_OWNER),
    "RemoveMember": pb.RemoveMemberRequest(namespace=WALLED, email="root@example.org"),
    "UpdateNamespace": pb.UpdateNamespaceRequest(namespace=_OPENED, update_mask=FieldMask(paths=["visibility"])),
    "DeleteNamespace": pb.DeleteNamespaceRequest(name=WALLED),
}


@pytest.mark.parametrize(("role", "reason"), [(None, "NAMESPACE_NOT_FOUND"), ("reader", "NAMESPACE_FORBIDDEN")])
async def test_who_is_no_longer_an_owner_changes_nothing(both: Parties, role: str | None, reason: str) -> None:
    await both.admit(INSIDER, Role.OWNER)
    namespaces, beside = both.gateway.namespaces, both.gateway.beside
    known = pb.GetNamespaceRequest(name=WALLED)
    assert await reason_of(namespaces.GetNamespace(known, metadata=both.insider)) == "OK"
    # Without a notification, so that the server still knows the owner, as any does until it is notified.
    of_insider = "WHERE user_id = (SELECT id FROM users WHERE email = $1)"
    if role is None:
        await beside.execute(f"DELETE FROM namespace_members {of_insider}", INSIDER)  # noqa: S608 - our own text
    else:
        await beside.execute(f"UPDATE namespace_members SET role = 'reader' {of_insider}", INSIDER)  # noqa: S608 - as above
    for method, request in _REQUESTS.items():
        call: Any = getattr(namespaces, method)
        assert await reason_of(call(request, metadata=both.insider)) == reason, method
    assert await reason_of(namespaces.GetNamespace(known, metadata=both.root)) == "OK"


async def test_members_and_visibility_change_while_traces_are_being_stored(both: Parties, database_url: str) -> None:
    namespaces = both.gateway.namespaces
    # As each transaction does that stores a trace there: without a pause, where many do.
    async with held(database_url, f"SELECT FROM namespaces WHERE name = '{WALLED}' FOR KEY SHARE"):
        await both.admit(OUTSIDER, Role.OWNER)
        await both.expel(INSIDER)
        assert await reason_of(namespaces.UpdateNamespace(_REQUESTS["UpdateNamespace"], metadata=both.root)) == "OK"


async def test_a_list_goes_on_behind_a_namespace_that_was_just_deleted(both: Parties) -> None:
    for name in ("one", "three", "two"):
        await both.found(name)
    namespaces, wanted, names = both.gateway.namespaces, pb.ListNamespacesRequest(page_size=1), list[str]()
    # Known to be there, and deleted without a notification.
    assert len((await namespaces.ListNamespaces(pb.ListNamespacesRequest(), metadata=both.root)).namespaces) == 5
    await both.gateway.beside.execute("DELETE FROM namespaces WHERE name = 'three'")
    while not names or wanted.page_token:
        page = await namespaces.ListNamespaces(wanted, metadata=both.root)
        names += [namespace.name for namespace in page.namespaces]
        wanted.page_token = page.next_page_token
    assert names == ["commons", "one", WALLED, "two"]
