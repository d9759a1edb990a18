"""Connection pool of searches: asyncpg's own, because SQLAlchemy would double what a search costs here (ADR 0022)."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import asyncpg

from commontrace.storage import engines
from commontrace.storage.connections import connect_with_vectors
from commontrace.storage.pool_limiter import PoolLimiter, PoolState
from commontrace.storage.postgres_url import driver_keywords, parse_postgres_url

Result = TypeVar("Result")

_CLOSE_SECONDS = 1.0

# Raised by a connection that is closed or closing, and by one whose statements were prepared before a column changed.
_CONNECTION_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    # The driver has read that Postgres is closing the connection, but not yet the end of the stream.
    asyncpg.InternalClientError,
    asyncpg.InvalidCachedStatementError,
)


class SearchPool:
    """A pool of at most `size` autocommit connections whose planner stays on the vector index (ADR 0001).

    Opens no connection when it is made. `timeout` is how many seconds a search waits for a free one.
    """

    def __init__(self, url: str, *, size: int, timeout: float) -> None:
        settings = engines.SESSION_SETTINGS | engines.SEARCH_SETTINGS
        self._limiter = PoolLimiter("searches", size=size, timeout=timeout)
        self._pool: asyncpg.Pool | None = None
        self._options = dict(
            min_size=0,
            max_size=size,
            # No statement changes a session, so a returned connection needs no reset.
            reset=_skip_reset,
            connect=connect_with_vectors,
            init=_register_json,
            max_inactive_connection_lifetime=engines.RECYCLE_SECONDS,
            timeout=engines.CONNECT_SECONDS,
            command_timeout=engines.COMMAND_SECONDS,
            server_settings=settings,
            **_driver_arguments(url),
        )

    async def run(self, query: Callable[[asyncpg.Connection], Awaitable[Result]]) -> Result:
        """Runs a query outside any transaction, once more if the connection is lost. Raises the driver's errors."""
        try:
            async with self._connection() as connection:
                return await query(connection)
        except _CONNECTION_LOST:
            # The others are of the same age, and most likely lost as well.
            await (await self._get_pool()).expire_connections()
        async with self._connection() as connection:
            return await query(connection)

    @property
    def state(self) -> PoolState:
        """Open connections, those in use, and waiting callers."""
        return self._limiter.state(opened=0 if self._pool is None else self._pool.get_size())

    async def close(self) -> None:
        """Closes every connection, in use or not."""
        with suppress(TimeoutError):
            await asyncio.wait_for((await self._get_pool()).close(), _CLOSE_SECONDS)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        async with self._limiter.slot():
            pool = await self._get_pool()
            connection = await pool.acquire()
            try:
                yield connection
            finally:
                await pool.release(connection)

    async def _get_pool(self) -> asyncpg.Pool:
        # Made on first use: a pool belongs to the event loop that it is made in.
        if self._pool is None:
            self._pool = asyncpg.create_pool(**self._options)
        # Opens no connection.
        return await self._pool


async def _register_json(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)


async def _skip_reset(_connection: asyncpg.Connection) -> None:
    pass


def _driver_arguments(url: str) -> dict[str, Any]:
    keywords = driver_keywords(parse_postgres_url(url))
    # SQLAlchemy's name for asyncpg's `statement_cache_size`.
    size = keywords.pop("prepared_statement_cache_size", None)
    return keywords if size is None else keywords | {"statement_cache_size": size}
