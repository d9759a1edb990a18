"""Bulk loading: steps of an import during which the database has no vector index (ADR 0063)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.domain.errors import CommonTraceError, OperatorNeeded
from commontrace.storage import advisory_lock, engines
from commontrace.storage.encoding.reembedding_lock import BULK_IMPORT_LOCK, REEMBEDDING_LOCK
from commontrace.storage.error_mapping import translate_errors
from commontrace.storage.models.vector_index import VECTOR_INDEX_NAME, create_index_sql
from commontrace.storage.search.vector_index_state import FRESH_SECONDS, IS_COMPLETE, OUT_OF_USE_LOCK

# Postgres checks every second if the client is alive: the index build of a killed process must end.
_SETTINGS = {
    "application_name": "commontrace-bulk-import",
    "client_connection_check_interval": "1000",
    "statement_timeout": "0",
}
# Postgres may notice only after a moment that the previous owner was killed.
_ACQUIRE_SECONDS = 3.0
_NOTICE_SECONDS = FRESH_SECONDS + 1.0
# Among fewer traces, a search that still counts on the index compares all of them in a few milliseconds.
_NOTICED_TRACES = 2_000

_DIMENSIONS = "SELECT dimensions FROM embedding_models WHERE is_current"
_COUNT_TRACES = "SELECT count(*) FROM traces"
_DROP = f"DROP INDEX CONCURRENTLY IF EXISTS {VECTOR_INDEX_NAME}"
# What a node of the graph takes beside the components, and how many bytes one of those takes at most.
_NODE_BYTES, _COMPONENT_BYTES = 1200, 4
# Beyond the memory, a build takes many times as long. Postgres says nothing of the machine's; what it takes for its
# shared buffers, an operator has found to be there.
_BUILD_SETTINGS = f"""
    SELECT set_config('maintenance_work_mem', GREATEST(
            pg_size_bytes(current_setting('maintenance_work_mem')),
            LEAST(
                pg_size_bytes(current_setting('shared_buffers')),
                (SELECT count(embedding_model_id) * (max(dimensions) * {_COMPONENT_BYTES} + {_NODE_BYTES})
                    FROM traces, embedding_models WHERE is_current)
            )
        ) / 1024 || 'kB', false),
        -- The vectors are out of line: by the size of the table proper, Postgres would take no workers.
        set_config('min_parallel_table_scan_size', '0', false)"""  # noqa: S608 - our own numbers
_LITTLE_MEMORY = ("53100", "53200")
_WITHOUT_WORKERS = "SET max_parallel_maintenance_workers = 0"


class BulkImportInProgress(CommonTraceError):
    """Another process holds one of the locks."""


class BulkLoading:
    """Steps of a bulk import, on the connection that holds its locks. Each may be interrupted and repeated.

    Each method raises DatabaseUnavailable.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def has_index(self) -> bool:
        """Returns whether the vector index is there and complete."""
        return bool(await self._value(IS_COMPLETE))

    async def count_traces(self) -> int:
        """Returns the number of traces, deleted ones too."""
        return int(await self._value(_COUNT_TRACES))

    async def drop_index(self) -> None:
        """Drops the vector index, complete or not, after the searches of every server have left it."""
        # Another holder is a killed process, which says the same until Postgres notices.
        with translate_errors():
            await advisory_lock.acquire(self._connection, OUT_OF_USE_LOCK, within_seconds=_ACQUIRE_SECONDS)
        if await self.has_index() and await self.count_traces() > _NOTICED_TRACES:
            await asyncio.sleep(_NOTICE_SECONDS)
        await self._run(_DROP)

    async def build_index(self) -> None:
        """Builds the vector index, CONCURRENTLY: calls go on."""
        await self._run(_DROP)
        await self._run(_BUILD_SETTINGS)
        create = create_index_sql(await self._value(_DIMENSIONS), concurrently=True)
        try:
            await self._run(create)
        except OperatorNeeded as error:
            # Workers share the memory of the build, which a container may not allow.
            if error.sqlstate not in _LITTLE_MEMORY:
                raise
            await self._run(_DROP)
            await self._run(_WITHOUT_WORKERS)
            await self._run(create)

    async def _value(self, statement: str) -> Any:
        with translate_errors():
            return (await self._connection.execute(text(statement))).scalar()

    async def _run(self, statement: str) -> None:
        with translate_errors():
            await self._connection.execute(text(statement))


@asynccontextmanager
async def exclusive_bulk_loading(url: str) -> AsyncIterator[BulkLoading]:
    """Holds the locks of bulk imports and of re-encoding while the block runs.

    Raises BulkImportInProgress, DatabaseUnavailable.
    """
    engine = engines.unpooled(url, _SETTINGS)
    try:
        with translate_errors():
            connection = await engine.connect()
        try:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            # Re-encoding, too, builds and replaces the vector index.
            for key, holder in (
                (BULK_IMPORT_LOCK, "another `commontrace bulk-import`"),
                (REEMBEDDING_LOCK, "a `commontrace reembed`"),
            ):
                with translate_errors():
                    is_acquired = await advisory_lock.acquire(connection, key, within_seconds=_ACQUIRE_SECONDS)
                if not is_acquired:
                    raise BulkImportInProgress(f"{holder} is at work on this database: let it end")
            yield BulkLoading(connection)
        finally:
            await connection.close()
    finally:
        await engine.dispose()
