"""Exclusive lock of re-encoding: one process at a time moves a database to another embedding model (ADR 0020)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text

from commontrace.domain.errors import CommonTraceError
from commontrace.storage import advisory_lock, engines
from commontrace.storage.error_mapping import translate_errors

# Postgres checks every second if the client is alive: the index build of a killed process must end.
UNLIMITED_SETTINGS = {
    "application_name": "commontrace-reembed",
    "client_connection_check_interval": "1000",
    "statement_timeout": "0",
}

# Arbitrary numbers, the same for every CommonTrace process, and different from that of migrations.
REEMBEDDING_LOCK = 0x7265656D6265
BULK_IMPORT_LOCK = 0x62756C6B
# Postgres may notice only after a moment that the previous owner was killed.
_ACQUIRE_SECONDS = 3.0

IS_LOCKED = (
    f"SELECT {advisory_lock.is_held_sql(REEMBEDDING_LOCK)} AND NOT {advisory_lock.is_held_sql(BULK_IMPORT_LOCK)}"
)
"""SQL: whether a process is re-encoding. A bulk import holds the lock as well (ADR 0063)."""

IS_BULK_IMPORTING = f"SELECT {advisory_lock.is_held_sql(BULK_IMPORT_LOCK)}"
"""SQL: whether a process imports in bulk."""


class ReembeddingInProgress(CommonTraceError):
    """Another process is re-encoding the database, or rebuilding its vector index for a bulk import."""


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
                is_acquired = await advisory_lock.acquire(connection, REEMBEDDING_LOCK, within_seconds=_ACQUIRE_SECONDS)
            if not is_acquired:
                is_importing = (await connection.execute(text(IS_BULK_IMPORTING))).scalar()
                holder = "a `commontrace bulk-import`" if is_importing else "another `commontrace reembed`"
                raise ReembeddingInProgress(f"{holder} is at work on this database: let it end")
            yield
        finally:
            await connection.close()
    finally:
        await engine.dispose()
