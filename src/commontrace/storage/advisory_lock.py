"""Session-level advisory locks: mutual exclusion between processes for longer than a transaction."""

import asyncio
import time

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_TRY_LOCK = text("SELECT pg_try_advisory_lock(:key)")


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
