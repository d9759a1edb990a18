"""API keys of users: create, rotate, revoke (ADR 0027)."""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from commontrace.domain import limits
from commontrace.domain.errors import (
    KeyBound,
    KeyNotFound,
    NamespaceNotFound,
    NamespacesDisabled,
    TooManyKeys,
    UserNotFound,
)
from commontrace.domain.keys.api_key import ApiKey, new_key
from commontrace.domain.scopes import BEYOND_NAMESPACES, Scope
from commontrace.storage.keys.repository import KeyRow
from commontrace.storage.unit_of_work import UnitOfWork


async def create(
    email: str,
    scopes: Collection[Scope],
    work: UnitOfWork,
    *,
    label: str = "",
    expires_in: timedelta | None = None,
    namespaces: Collection[str] = (),
) -> ApiKey:
    """Creates a key for a user and returns it; it cannot be read again. With `namespaces`, it is bound to them.

    Raises UserNotFound, TooManyKeys, NamespaceNotFound, NamespacesDisabled, and KeyBound for a scope that reaches
    beyond namespaces.
    """
    if namespaces:
        await _require_bindable(namespaces, scopes, work)
    return await _create(email, scopes, work, label=label, expires_in=expires_in, namespaces=namespaces)


async def _create(
    email: str,
    scopes: Collection[Scope],
    work: UnitOfWork,
    *,
    label: str,
    expires_in: timedelta | None,
    namespaces: Collection[str],
) -> ApiKey:
    user_id = await work.users.get_id(email)
    if user_id is None:
        raise UserNotFound(email)
    # Without the lock, two transactions would each count the keys without the other's.
    await work.users.lock(user_id)
    if await work.keys.count_live(user_id) >= limits.LIVE_KEYS:
        raise TooManyKeys(email, limits.LIVE_KEYS)
    key = new_key()
    await work.keys.add(
        key.id,
        user_id,
        digest=key.digest,
        scopes=scopes,
        label=label,
        expires_in=expires_in,
        namespaces=namespaces,
    )
    return key


async def rotate(key_id: UUID, work: UnitOfWork, *, overlap: timedelta, expires_in: timedelta | None = None) -> ApiKey:
    """Creates a key like an old one, which expires after the overlap. Raises KeyNotFound, TooManyKeys."""
    old = await _get_live(key_id, work)
    scopes = [Scope(scope) for scope in old.scopes]
    # Bound to the same namespaces, gone ones too.
    new = await _create(
        old.email, scopes, work, label=old.label, expires_in=expires_in, namespaces=old.namespaces or ()
    )
    await work.keys.expire(key_id, overlap)
    return new


async def revoke(key_id: UUID, work: UnitOfWork) -> KeyRow:
    """Revokes a key at once and returns it as it was. Raises KeyNotFound."""
    old = await _get_live(key_id, work)
    await work.keys.revoke(key_id)
    return old


async def _require_bindable(names: Collection[str], scopes: Collection[Scope], work: UnitOfWork) -> None:
    for scope in BEYOND_NAMESPACES:
        if scope in scopes:
            raise KeyBound(scope)
    if not await work.namespaces.is_enabled():
        raise NamespacesDisabled
    for name in sorted(await work.namespaces.get_missing_names(names)):
        raise NamespaceNotFound(name)


async def _get_live(key_id: UUID, work: UnitOfWork) -> KeyRow:
    key = await work.keys.get(key_id)
    if key is None:
        raise KeyNotFound(key_id)
    if key.state != "LIVE":
        raise KeyNotFound(
            key_id, "the key {} has expired" if key.state == "EXPIRED" else "the key {} is revoked already"
        )
    return key
