"""Table locks of re-encoding (ADR 0020): short waits, so that no queue of calls forms behind one."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# Calls queue behind a waiting lock that excludes them.
_SHORT_WAIT = "SET LOCAL lock_timeout = '150ms'"

EXCLUDE_VACUUM = "LOCK TABLE traces IN SHARE UPDATE EXCLUSIVE MODE"
"""Excludes only vacuum and index builds, so no call queues behind it. An autovacuum gives way after 1 s."""
EXCLUDE_WRITERS = "LOCK TABLE traces IN EXCLUSIVE MODE"
EXCLUDE_ALL = "LOCK TABLE trace_signs, traces IN ACCESS EXCLUSIVE MODE"
"""In the order in which searches lock the tables."""


async def lock(connection: AsyncConnection, *statements: str) -> None:
    """Runs lock statements. Those that exclude calls wait for 150 ms at most."""
    for statement in statements:
        if statement != EXCLUDE_VACUUM:
            await connection.execute(text(_SHORT_WAIT))
        await connection.execute(text(statement))
