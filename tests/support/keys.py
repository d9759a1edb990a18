"""API keys as tests need them: of users that appear with their first key."""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from commontrace.core.keys import service as key_service
from commontrace.domain.keys.api_key import ApiKey
from commontrace.domain.scopes import EVERYTHING, Scope
from commontrace.storage.database import Database

Metadata = tuple[tuple[str, str], ...]


async def a_key(
    database: Database,
    email: str,
    scopes: Collection[Scope] = EVERYTHING,
    expires_in: timedelta | None = None,
    namespaces: Collection[str] = (),
) -> ApiKey:
    """A key of a user's, bound to namespaces if there are any."""
    async with database.unit_of_work() as work:
        await work.users.get_or_create(email)
        return await key_service.create(email, scopes, work, expires_in=expires_in, namespaces=namespaces)


async def revoke(database: Database, key_id: UUID) -> None:
    async with database.unit_of_work() as work:
        await key_service.revoke(key_id, work)


def bearer(key: ApiKey | str) -> Metadata:
    """The metadata of a call with the key."""
    return (("authorization", f"Bearer {key.text if isinstance(key, ApiKey) else key}"),)
