"""Changes of namespaces and of their members (ADR 0061)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from commontrace.domain import limits
from commontrace.domain.errors import (
    KeyBound,
    LastOwner,
    MemberNotFound,
    NamespaceExists,
    NamespaceForbidden,
    NamespaceNotEmpty,
    NamespaceNotFound,
    NamespacesDisabled,
    NamespaceStays,
    StaleNamespaceEtag,
    TooManyMembers,
    TooManyNamespaces,
    UserNotFound,
)
from commontrace.domain.namespaces.access import Grant, NamespaceAccess
from commontrace.domain.namespaces.namespace import COMMONS, COMMONS_ID, Role, Visibility, effective_role
from commontrace.domain.scopes import Scope
from commontrace.domain.traces.contribution import etag
from commontrace.storage.namespaces.members import MemberRow
from commontrace.storage.namespaces.repository import NamespaceRow
from commontrace.storage.unit_of_work import Reading, UnitOfWork

FIELDS = ("description", "visibility")
"""The fields that an owner may change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NamespaceInfo:
    """A namespace, and the caller's role there."""

    row: NamespaceRow
    role: Role


async def create(
    name: str, *, description: str, visibility: Visibility, access: NamespaceAccess, work: UnitOfWork, caller_id: UUID
) -> NamespaceInfo:
    """Creates a namespace with the caller as its owner.

    Raises NamespacesDisabled, NamespaceExists, TooManyNamespaces, KeyBound.
    """
    if access.bound_names is not None:
        raise KeyBound(Scope.NAMESPACES_WRITE)
    await _require_enabled(work)
    namespace_id = uuid4()
    if not await work.namespaces.add(namespace_id, name, description=description, visibility=visibility):
        raise NamespaceExists(name)
    if await work.namespaces.count() > limits.NAMESPACES:
        raise TooManyNamespaces(limits.NAMESPACES)
    await work.members.save(namespace_id, caller_id, Role.OWNER)
    return await _changed(namespace_id, Role.OWNER, work)


async def list_readable(
    access: NamespaceAccess, reading: Reading, *, after: str | None, size: int
) -> Sequence[NamespaceInfo]:
    """Returns at most `size` namespaces that the caller may read, by name, after `after`."""
    following = [grant.id for name, grant in access.grants.items() if after is None or name > after]
    rows = await reading.namespaces.get_many(following, size=size)
    return [NamespaceInfo(row=row, role=access.grants[row.name].role) for row in rows]


async def get(name: str, access: NamespaceAccess, reading: Reading) -> NamespaceInfo:
    """Returns a namespace. Raises NamespaceNotFound."""
    grant = access.require(name, Role.READER)
    rows = await reading.namespaces.get_many([grant.id])
    if not rows:
        raise NamespaceNotFound(name)
    return NamespaceInfo(row=rows[0], role=grant.role)


async def update(
    name: str,
    values: Mapping[str, Any],
    wanted_etag: str,
    *,
    access: NamespaceAccess,
    work: UnitOfWork,
    caller_id: UUID,
) -> NamespaceInfo:
    """Sets some of FIELDS. Raises NamespaceNotFound, NamespaceForbidden, StaleNamespaceEtag, NamespacesDisabled."""
    grant = await _lock(name, Role.OWNER, access, work, caller_id)
    [row] = await work.namespaces.get_many([grant.id])
    if wanted_etag and wanted_etag != etag(row.edit_number):
        raise StaleNamespaceEtag(name, etag(row.edit_number))
    if "visibility" in values:
        await _require_enabled(work)
    await work.namespaces.update(grant.id, values)
    return await _changed(grant.id, grant.role, work)


async def delete(name: str, *, access: NamespaceAccess, work: UnitOfWork, caller_id: UUID) -> None:
    """Deletes an empty namespace. Raises NamespaceNotFound, NamespaceForbidden, NamespaceStays, NamespaceNotEmpty."""
    grant = await _lock(name, Role.OWNER, access, work, caller_id, for_deletion=True)
    if name == COMMONS:
        raise NamespaceStays(name)
    if count := await work.namespaces.count_trace_rows(grant.id):
        raise NamespaceNotEmpty(name, count)
    await work.namespaces.delete(grant.id)
    await work.namespaces.notify()


async def set_member(
    name: str, email: str, role: Role, *, access: NamespaceAccess, work: UnitOfWork, caller_id: UUID
) -> MemberRow:
    """Gives a user a role.

    Raises NamespaceNotFound, NamespaceForbidden, UserNotFound, LastOwner, NamespacesDisabled, TooManyMembers.
    """
    grant = await _lock(name, Role.OWNER, access, work, caller_id)
    await _require_enabled(work)
    user_id = await work.users.get_id(email)
    if user_id is None:
        raise UserNotFound(email)
    await work.members.save(grant.id, user_id, role)
    await _require_owner(grant, work)
    if await work.members.count(grant.id) > limits.NAMESPACE_MEMBERS:
        raise TooManyMembers(name, limits.NAMESPACE_MEMBERS)
    await work.namespaces.notify()
    work.shown_namespace_ids.add(grant.id)
    return await _member(grant, email, work)


async def remove_member(
    name: str, email: str, *, access: NamespaceAccess, work: UnitOfWork, caller_id: UUID
) -> MemberRow:
    """Ends a membership and returns it as it was. Members may end their own.

    Raises NamespaceNotFound, NamespaceForbidden, MemberNotFound, LastOwner.
    """
    is_own = await work.users.get_id(email) == caller_id
    grant = await _lock(name, Role.READER if is_own else Role.OWNER, access, work, caller_id)
    member = await _member(grant, email, work)
    await work.members.delete(grant.id, member.user_id)
    if member.role == Role.OWNER.name.lower():
        await _require_owner(grant, work)
    await work.namespaces.notify()
    if not is_own:
        # Who has left reads the answer again, and nothing else.
        work.shown_namespace_ids.add(grant.id)
    return member


async def list_members(
    name: str, access: NamespaceAccess, reading: Reading, *, after: str | None, size: int
) -> Sequence[MemberRow]:
    """Returns at most `size` members by e-mail address, after `after`. Raises NamespaceNotFound, NamespaceForbidden."""
    return await reading.members.list(access.require(name, Role.OWNER).id, after=after, size=size)


async def _lock(
    name: str, needed: Role, access: NamespaceAccess, work: UnitOfWork, caller_id: UUID, *, for_deletion: bool = False
) -> Grant:
    """Locks a namespace, and returns it with the role that the caller has under the lock.

    The access may be seconds old: an owner who has just been removed could otherwise return by its last call.
    Raises NamespaceNotFound, NamespaceForbidden.
    """
    grant = access.require(name, needed)
    visibility = await work.namespaces.lock(grant.id, for_deletion=for_deletion)
    if visibility is None:
        raise NamespaceNotFound(name)
    # A separate statement: only later ones see what the transaction before has changed.
    membership = await work.members.get_role(grant.id, caller_id)
    role = effective_role(visibility, membership, is_admin=access.readable.is_unlimited)
    if role is None:
        raise NamespaceNotFound(name)
    if role < needed:
        raise NamespaceForbidden(name, role=role.name, needed_role=needed.name)
    return grant._replace(role=role)


async def _require_enabled(work: UnitOfWork) -> None:
    if not await work.namespaces.is_enabled():
        raise NamespacesDisabled


async def _require_owner(grant: Grant, work: UnitOfWork) -> None:
    # `commons` begins without owners: admins see to it.
    if grant.id != COMMONS_ID and not await work.members.count_owners(grant.id):
        raise LastOwner(grant.name)


async def _member(grant: Grant, email: str, work: UnitOfWork) -> MemberRow:
    member = await work.members.get(grant.id, email)
    if member is None:
        raise MemberNotFound(grant.name, email)
    return member


async def _changed(namespace_id: UUID, role: Role, work: UnitOfWork) -> NamespaceInfo:
    await work.namespaces.notify()
    work.shown_namespace_ids.add(namespace_id)
    [row] = await work.namespaces.get_many([namespace_id])
    return NamespaceInfo(row=row, role=role)
