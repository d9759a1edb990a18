"""Session-level advisory locks: mutual exclusion between processes for longer than a transaction."""

import asyncio
import time

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_TRY_LOCK = text("SELECT pg_try_advisory_lock(:key)")


def is_held_sql(key: int) -> str:
    """Returns the SQL expression that tells whether a session of this database holds the lock."""
    return f"""EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (classid::bigint << 32 | objid::bigint) = {key:d})"""  # noqa: S608 - a number of ours


async def acquire(connection: AsyncConnection, key: int, *, within_seconds: float) -> bool:
    """Acquires the lock until the autocommit connection closes; returns False if another session still holds it.

    Polls: a blocking advisory lock deadlocks against CREATE INDEX CONCURRENTLY.
    """
    deadline = time.monotonic() + within_seconds
    while not (await connection.execute(_TRY_LOCK, {"key": key})).scalar():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.1)
    return True
