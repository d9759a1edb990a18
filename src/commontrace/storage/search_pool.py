"""Connection pool of searches: the driver's own, because SQLAlchemy doubles the CPU time of a search (ADR 0022)."""

import asyncio
import json
from collections.abc import Collection
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import Any
from uuid import UUID

import asyncpg

from commontrace.domain.namespaces.access import ReadableNamespaces
from commontrace.storage import engines
from commontrace.storage.connections import connect_with_vectors
from commontrace.storage.kept_connections import KeptConnections
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
        self._kept = KeptConnections(self._release)
        # Counts what `expire` was called for: connections that are in use then are not kept.
        self._generation = 0
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

    def connection(self) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """Takes a connection for the block. Raises Overloaded, and the driver's errors."""
        return _Borrowed(self)

    async def expire(self) -> None:
        """Replaces every connection at its next use: the others are as old as one that was lost."""
        self._generation += 1
        await (await self._opened()).expire_connections()
        await self._kept.release_all()

    @property
    def state(self) -> PoolState:
        """The state of the pool: connections open and in use, callers waiting."""
        return self._limiter.state(opened=0 if self._pool is None else self._pool.get_size())

    async def close(self) -> None:
        """Closes every connection, in use or not."""
        self._generation += 1
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._kept.release_all()
                await (await self._opened()).close()

    async def _acquire(self) -> asyncpg.Connection:
        return await (await self._opened()).acquire()

    async def _release(self, connection: asyncpg.Connection) -> None:
        # The driver's pool takes back by itself what is closed, even while it is being given back.
        with suppress(*CONNECTION_LOST):
            await (await self._opened()).release(connection)

    async def _opened(self) -> asyncpg.Pool:
        # Not in the constructor: a pool belongs to the event loop in which it is made.
        if self._pool is None:
            self._pool = asyncpg.create_pool(**self._options)
        # With min_size 0, this opens no connection.
        return await self._pool


class _Borrowed:
    """Connection of a search pool, for a block. A class, because a search would notice a generator."""

    __slots__ = ("_connection", "_generation", "_pool", "_user")

    def __init__(self, pool: SearchPool) -> None:
        self._pool = pool

    async def __aenter__(self) -> asyncpg.Connection:
        pool = self._pool
        self._user = await pool._limiter.acquire()
        try:
            self._connection = pool._kept.take() or await pool._acquire()
        except BaseException:
            pool._limiter.release(self._user)
            raise
        self._generation = pool._generation
        return self._connection

    async def __aexit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        pool = self._pool
        try:
            if error is None and self._generation == pool._generation:
                pool._kept.put(self._connection)
            else:
                # The driver's pool waits for a statement that was cancelled, and drops a connection that was closed.
                await pool._release(self._connection)
        finally:
            pool._limiter.release(self._user)


async def _register_json(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=_decoded_json)


def _decoded_json(text: str) -> Any:
    # The metadata of most traces.
    return {} if text == "{}" else json.loads(text)


async def _reset_nothing(_connection: asyncpg.Connection) -> None:
    pass


def _driver_options(url: str) -> dict[str, Any]:
    """Returns the URL as options of the driver."""
    keywords = driver_keywords(parse_postgres_url(url))
    # SQLAlchemy's name for the driver's statement_cache_size.
    cached = keywords.pop("prepared_statement_cache_size", None)
    return keywords if cached is None else keywords | {"statement_cache_size": cached}
