"""API keys, stored by their hashes (ADR 0027)."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Double, String, Uuid, any_, bindparam, cast, func, insert, or_, select, update

from commontrace.domain.scopes import Scope
from commontrace.storage.executor import Executor
from commontrace.storage.models import ApiKey, User
from commontrace.storage.transaction import Transaction

CHANNEL = "commontrace_api_keys"
"""The channel on which servers are notified of changed keys, by id."""


class KeyRow(NamedTuple):
    """A key and the e-mail address of its user. `seconds_left` is by the database's clock, at the time of the query."""

    id: UUID
    email: str
    label: str
    digest: bytes
    scopes: Sequence[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    namespaces: Sequence[str] | None
    """The names of the namespaces that the key is bound to; None for a key that is not bound."""
    seconds_left: float | None
    """Seconds until the key expires, None if it never does."""

    @property
    def state(self) -> str:
        """LIVE, EXPIRED or REVOKED."""
        if self.revoked_at is not None:
            return "REVOKED"
        return "EXPIRED" if self.seconds_left is not None and self.seconds_left <= 0 else "LIVE"


_SECONDS_LEFT = cast(func.extract("epoch", ApiKey.expires_at - func.now()), Double)
_LIVE = (ApiKey.revoked_at.is_(None), or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()))
_KEYS = select(
    ApiKey.id,
    User.email,
    ApiKey.label,
    ApiKey.digest,
    ApiKey.scopes,
    ApiKey.created_at,
    ApiKey.expires_at,
    ApiKey.revoked_at,
    ApiKey.last_used_at,
    ApiKey.namespaces,
    _SECONDS_LEFT,
).join(User, User.id == ApiKey.user_id)

# Built once: building a statement costs more than running it.
_BY_ID = _KEYS.where(ApiKey.id == any_(bindparam("key_ids", type_=ARRAY(Uuid))))
_RECORD_USE = (
    update(ApiKey)
    .where(ApiKey.id == any_(cast(bindparam("key_ids"), ARRAY(Uuid))))
    .values(last_used_at=func.now())
    .execution_options(synchronize_session=False)
)


class KeyReader:
    """Read side of the keys of all users."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def get(self, key_id: UUID) -> KeyRow | None:
        """Returns the key with the id, also an expired or revoked one, or None."""
        return (await self.get_many([key_id])).get(key_id)

    async def get_many(self, key_ids: Collection[UUID]) -> dict[UUID, KeyRow]:
        """Returns the keys with these ids, also expired and revoked ones, by id. Unknown ids are left out."""
        rows = map(KeyRow._make, await self._executor.execute(_BY_ID, {"key_ids": list(key_ids)}))
        return {row.id: row for row in rows}

    async def list(self, email: str | None = None) -> Sequence[KeyRow]:
        """Returns all keys, or those of one user, oldest first."""
        whose = () if email is None else (User.email == email,)
        wanted = _KEYS.where(*whose).order_by(ApiKey.created_at, ApiKey.id)
        return [KeyRow._make(row) for row in await self._executor.execute(wanted)]

    async def count_live(self, user_id: UUID) -> int:
        """Returns how many keys of a user are neither expired nor revoked."""
        live = select(func.count()).select_from(ApiKey).where(ApiKey.user_id == user_id, *_LIVE)
        return (await self._executor.execute(live)).scalar_one()


class KeyRepository(KeyReader):
    """Keys in one unit of work. A change notifies the servers when the transaction commits."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)

    async def add(
        self,
        key_id: UUID,
        user_id: UUID,
        *,
        digest: bytes,
        scopes: Collection[Scope],
        label: str,
        expires_in: timedelta | None,
        namespaces: Collection[str] = (),
    ) -> None:
        """Stores a new key, which expires after `expires_in`, or never; bound to namespaces, if any are given."""
        await self._executor.execute(
            insert(ApiKey).values(
                id=key_id,
                user_id=user_id,
                digest=digest,
                scopes=sorted(scopes),
                label=label,
                namespaces=sorted(namespaces) or None,
                expires_at=None if expires_in is None else func.now() + expires_in,
            )
        )

    async def revoke(self, key_id: UUID) -> None:
        """Revokes a key."""
        await self._change(key_id, revoked_at=func.now())

    async def expire(self, key_id: UUID, after: timedelta) -> None:
        """Lets a key expire after a delay, or earlier if it would anyway."""
        await self._change(key_id, expires_at=func.least(ApiKey.expires_at, func.now() + after))

    async def record_use(self, key_ids: Collection[UUID]) -> None:
        """Sets the time of the last use of keys to now."""
        await self._executor.execute(_RECORD_USE, {"key_ids": sorted(key_ids)})

    async def _change(self, key_id: UUID, **values: Any) -> None:
        await self._executor.execute(update(ApiKey).where(ApiKey.id == key_id).values(**values))
        await self._executor.execute(select(func.pg_notify(cast(CHANNEL, String), cast(str(key_id), String))))
