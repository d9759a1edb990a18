"""One process at a time moves a database to another embedding model."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from commontrace.domain.errors import CommonTraceError
from commontrace.storage import advisory_lock, engines
from commontrace.storage.error_mapping import translate_errors

# Who is killed while it builds an index must not go on building.
UNLIMITED = {
    "application_name": "commontrace-reembed",
    "client_connection_check_interval": "1000",
    "statement_timeout": "0",
}

# Any number, the same for every CommonTrace process, and not that of migrations.
_ADVISORY_LOCK = 0x7265656D6265
# The connection of one that was killed may take a moment to be noticed.
_CLAIM_SECONDS = 3.0

IS_CLAIMED = f"""
    SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (classid::bigint << 32 | objid::bigint) = {_ADVISORY_LOCK})"""  # noqa: S608 - our own number
"""Tells whether somebody is at it."""


class ReembeddingElsewhere(CommonTraceError):
    """Another process is at it."""


@asynccontextmanager
async def claimed(url: str) -> AsyncIterator[None]:
    """Keeps others from moving the same database as long as the block runs. Raises ReembeddingElsewhere."""
    engine = engines.unpooled(url, UNLIMITED)
    try:
        with translate_errors():
            connection = await engine.connect()
        try:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            with translate_errors():
                is_ours = await advisory_lock.taken(connection, _ADVISORY_LOCK, within_seconds=_CLAIM_SECONDS)
            if not is_ours:
                raise ReembeddingElsewhere("another `commontrace reembed` is at work on this database: let it end")
            yield
        finally:
            await connection.close()
    finally:
        await engine.dispose()
