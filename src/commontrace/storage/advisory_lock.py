"""Locks that keep processes apart for longer than a transaction."""

import asyncio
import time

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_TAKE = text("SELECT pg_try_advisory_lock(:key)")


async def taken(connection: AsyncConnection, key: int, *, within_seconds: float) -> bool:
    """Takes the lock for as long as the autocommit connection is open; False if somebody else keeps it for too long.

    Polled: a blocking advisory lock deadlocks against CREATE INDEX CONCURRENTLY.
    """
    deadline = time.monotonic() + within_seconds
    while not (await connection.execute(_TAKE, {"key": key})).scalar():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.1)
    return True
