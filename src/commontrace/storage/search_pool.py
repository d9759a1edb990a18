"""Connection pool of searches: the driver's own, because SQLAlchemy doubles the CPU time of a search (ADR 0022)."""

import asyncio
import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import asyncpg

from commontrace.domain.namespaces.access import ReadableNamespaces
from commontrace.storage import engines
from commontrace.storage.connections import connect_with_vectors
from commontrace.storage.pool_limiter import PoolLimiter, PoolState
from commontrace.storage.postgres_url import driver_keywords, parse_postgres_url
from commontrace.storage.search.binary_quantized import BinaryQuantizedSearch
from commontrace.storage.search.neighbours import ApproximateSearch
from commontrace.storage.search.pending import PendingSearch
from commontrace.storage.tags.repository import get_ids_by_driver

_CLOSE_SECONDS = 1.0

CONNECTION_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    # Postgres has announced the end of the connection, and has not ended it yet.
    asyncpg.InternalClientError,
    # Of statements that were prepared before a column changed.
    asyncpg.InvalidCachedStatementError,
)
"""Errors of a connection that was closed, or whose prepared statements are outdated. A new connection helps."""


class VectorSearch(ApproximateSearch, BinaryQuantizedSearch, PendingSearch):
    """Approximate searches by vector on one connection of the search pool: by the HNSW index or binary quantization.

    Beside them, the count of traces without a vector.
    """

    async def tag_ids(self, names: Collection[str], namespaces: ReadableNamespaces) -> dict[str, UUID]:
        """Returns the ids of tags that exist in the namespaces, by canonical name or alias."""
        return await get_ids_by_driver(self._connection, names, namespaces)


class SearchPool:
    """At most `size` connections in autocommit, whose planner settings keep to the vector index (ADR 0001).

    Takes any Postgres URL; `timeout` is the longest wait for a connection, in seconds. Construction opens none.
    """

    def __init__(self, url: str, *, size: int, timeout: float) -> None:
        self._limiter = PoolLimiter("searches", size=size, timeout=timeout)
        self._pool: asyncpg.Pool | None = None
        self._options = dict(
            min_size=0,
            max_size=size,
            # No statement leaves a setting on its connection: there is nothing to reset.
            reset=_reset_nothing,
            connect=connect_with_vectors,
            init=_register_json,
            max_inactive_connection_lifetime=engines.RECYCLE_SECONDS,
            timeout=engines.CONNECT_SECONDS,
            command_timeout=engines.COMMAND_SECONDS,
            server_settings=engines.SESSION_SETTINGS | engines.SEARCH_SETTINGS,
            **_driver_options(url),
        )

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Takes a connection for the block. Raises Overloaded, and the driver's errors."""
        async with self._limiter.slot():
            pool = await self._opened()
            connection = await pool.acquire()
            try:
                yield connection
            finally:
                await pool.release(connection)

    async def expire(self) -> None:
        """Replaces every connection at its next use: the others are as old as one that was lost."""
        await (await self._opened()).expire_connections()

    @property
    def state(self) -> PoolState:
        """The state of the pool: connections open and in use, callers waiting."""
        return self._limiter.state(opened=0 if self._pool is None else self._pool.get_size())

    async def close(self) -> None:
        """Closes every connection, in use or not."""
        with suppress(TimeoutError):
            await asyncio.wait_for((await self._opened()).close(), _CLOSE_SECONDS)

    async def _opened(self) -> asyncpg.Pool:
        # Not in the constructor: a pool belongs to the event loop in which it is made.
        if self._pool is None:
            self._pool = asyncpg.create_pool(**self._options)
        # With min_size 0, this opens no connection.
        return await self._pool


async def _register_json(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)


async def _reset_nothing(_connection: asyncpg.Connection) -> None:
    pass


def _driver_options(url: str) -> dict[str, Any]:
    """Returns the URL as options of the driver."""
    keywords = driver_keywords(parse_postgres_url(url))
    # SQLAlchemy's name for the driver's statement_cache_size.
    cached = keywords.pop("prepared_statement_cache_size", None)
    return keywords if cached is None else keywords | {"statement_cache_size": cached}
