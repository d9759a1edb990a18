"""Exclusive lock of re-encoding: one process at a time moves a database to another embedding model (ADR 0020)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from commontrace.domain.errors import CommonTraceError
from commontrace.storage import advisory_lock, engines
from commontrace.storage.error_mapping import translate_errors

# Postgres checks every second if the client is alive: the index build of a killed process must end.
UNLIMITED_SETTINGS = {
    "application_name": "commontrace-reembed",
    "client_connection_check_interval": "1000",
    "statement_timeout": "0",
}

# An arbitrary number, the same for every CommonTrace process, and different from that of migrations.
_ADVISORY_LOCK = 0x7265656D6265
# Postgres may notice only after a moment that the previous owner was killed.
_ACQUIRE_SECONDS = 3.0

IS_LOCKED = f"""
    SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (classid::bigint << 32 | objid::bigint) = {_ADVISORY_LOCK})"""  # noqa: S608 - our own number
"""SQL: whether a process holds the lock."""


class ReembeddingInProgress(CommonTraceError):
    """Another process is re-encoding the database."""


@asynccontextmanager
async def exclusive_reembedding(url: str) -> AsyncIterator[None]:
    """Holds the lock while the block runs. Raises ReembeddingInProgress."""
    engine = engines.unpooled(url, UNLIMITED_SETTINGS)
    try:
        with translate_errors():
            connection = await engine.connect()
        try:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            with translate_errors():
                is_acquired = await advisory_lock.acquire(connection, _ADVISORY_LOCK, within_seconds=_ACQUIRE_SECONDS)
            if not is_acquired:
                raise ReembeddingInProgress("another `commontrace reembed` is at work on this database: let it end")
            yield
        finally:
            await connection.close()
    finally:
        await engine.dispose()
