"""Names, roles and the access of one caller."""

from uuid import UUID

import pytest

from commontrace.domain.errors import NamespaceForbidden, NamespaceNotFound, NamespaceRequired
from commontrace.domain.namespaces.access import Grant, NamespaceAccess
from commontrace.domain.namespaces.namespace import COMMONS, COMMONS_ID, Role, Visibility, effective_role, is_name
from commontrace.domain.traces.content_hash import content_hash, hash_in_namespace
from commontrace.domain.traces.trace_filter import ResolvedFilter, TraceFilter

RED, BLUE = Grant(UUID(int=1), "red", Role.OWNER), Grant(UUID(int=2), "blue", Role.READER)
SHARED = Grant(COMMONS_ID, COMMONS, Role.WRITER)


def access(*, covers_all: bool = False, bound_names: frozenset[str] | None = None) -> NamespaceAccess:
    grants = [RED, SHARED, BLUE]
    return NamespaceAccess.of(grants, covers_all=covers_all, is_admin=covers_all, bound_names=bound_names)


@pytest.mark.parametrize("name", ["a", "0", "commons", "team-a", "a--b", "x" * 63])
def test_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "-", "-a", "a-", "A", "a_b", "a.b", "a b", "ä", "a\n", "x" * 64, "\u0661"])
def test_texts_that_are_no_names(name: str) -> None:
    assert not is_name(name)


@pytest.mark.parametrize(
    ("visibility", "membership", "role"),
    [
        (Visibility.PRIVATE, None, None),
        (Visibility.PRIVATE, Role.READER, Role.READER),
        (Visibility.READABLE, None, Role.READER),
        (Visibility.READABLE, Role.WRITER, Role.WRITER),
        (Visibility.OPEN, None, Role.WRITER),
        (Visibility.OPEN, Role.READER, Role.WRITER),
        (Visibility.OPEN, Role.MODERATOR, Role.MODERATOR),
    ],
)
def test_the_effective_role_is_the_stronger_one(
    visibility: Visibility, membership: Role | None, role: Role | None
) -> None:
    assert effective_role(visibility, membership, is_admin=False) == role
    assert effective_role(visibility, membership, is_admin=True) is Role.OWNER


def test_what_may_not_be_read_does_not_exist_and_what_may_be_read_is_forbidden() -> None:
    assert access().require("red", Role.OWNER) == RED
    with pytest.raises(NamespaceNotFound):
        access().require("green", Role.READER)
    with pytest.raises(NamespaceForbidden) as refused:
        access().require("blue", Role.WRITER)
    assert refused.value.metadata == {"namespace": "blue", "role": "READER", "needed_role": "WRITER"}


def test_the_default_is_commons_or_the_only_one_that_a_key_is_bound_to() -> None:
    assert access().require_target("") == SHARED
    assert access(bound_names=frozenset({"red"})).require_target("") == RED
    with pytest.raises(NamespaceRequired):
        access(bound_names=frozenset({"red", "blue"})).require_target("")
    # Bound to one that is gone, or that its user may not read.
    with pytest.raises(NamespaceNotFound):
        access(bound_names=frozenset({"green"})).require_target("")


def test_a_bound_key_reaches_the_intersection() -> None:
    bound = access(covers_all=True, bound_names=frozenset({"blue", "green"}))
    assert bound.readable.names == ("blue",)
    assert bound.readable.granted_ids == (BLUE.id,)
    assert not bound.readable.is_all
    assert not bound.readable.is_unlimited
    with pytest.raises(NamespaceNotFound):
        bound.require("red", Role.READER)


def test_a_filter_narrows_what_is_read_and_not_what_is_granted() -> None:
    everything = access(covers_all=True)
    narrow = everything.narrowed(["blue", "red", "blue"])
    assert (narrow.names, narrow.is_all, narrow.is_unlimited) == (("blue", "red"), False, True)
    assert set(narrow.granted_ids) == {RED.id, BLUE.id, COMMONS_ID}
    assert everything.narrowed([]) is everything.readable
    assert everything.narrowed(["blue", "commons", "red"]).is_all
    with pytest.raises(NamespaceNotFound):
        everything.narrowed(["red", "green"])


def test_namespaces_that_are_read_alike_share_what_is_cached_of_filters() -> None:
    one, other = access(), access(bound_names=frozenset({"red"}))
    assert repr(one.only(RED)) == repr(one.narrowed(["red"]))
    assert repr(one.only(RED)) != repr(one.only(BLUE))
    assert other.readable.digest == one.only(RED).digest


@pytest.mark.parametrize(("covers_all", "passes_all"), [(True, True), (False, False)])
def test_a_filter_passes_all_only_where_every_namespace_is_read(covers_all: bool, passes_all: bool) -> None:  # noqa: FBT001
    readable = access(covers_all=covers_all).readable
    assert ResolvedFilter(trace_filter=TraceFilter(), namespaces=readable).passes_all == passes_all
    nowhere = NamespaceAccess.of([], covers_all=False).readable
    assert ResolvedFilter(trace_filter=TraceFilter(), namespaces=nowhere).matches_nothing


def test_the_same_content_has_another_stored_hash_in_each_namespace() -> None:
    hashed = content_hash("a", "b", "c")
    assert hash_in_namespace(hashed, COMMONS_ID) == hashed
    assert len({hash_in_namespace(hashed, grant.id) for grant in (SHARED, RED, BLUE)}) == 3
