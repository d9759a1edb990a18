"""Connections for searches: the driver's own pool, without SQLAlchemy, which would double what a search costs here."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import asyncpg

from commontrace.storage import engines
from commontrace.storage.connections import connect_with_vectors
from commontrace.storage.pool_limiter import PoolLimiter, PoolState
from commontrace.storage.postgres_url import driver_keywords, postgres_url, socket_arguments

Answer = TypeVar("Answer")

_CLOSE_SECONDS = 1.0

# What a connection raises that has been closed or is being closed, and one whose statements were prepared before a
# column changed.
_CONNECTION_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    # The driver has read that Postgres ends the connection, and not yet that it has.
    asyncpg.InternalClientError,
    asyncpg.InvalidCachedStatementError,
)


class SearchPool:
    """At most `size` connections, in autocommit, whose planner stays on the vector index. Making it opens none."""

    def __init__(self, url: str, *, size: int, timeout: float) -> None:
        """Takes any Postgres URL; `timeout` is how many seconds a search waits for its turn."""
        settings = engines.SESSION | engines.SEARCH

        self._turns = PoolLimiter("searches", size=size, timeout=timeout)
        self._pool: asyncpg.Pool | None = None
        self._options = dict(
            min_size=0,
            max_size=size,
            # Nothing is ever set on a connection, so nothing has to be reset.
            reset=_leave,
            connect=connect_with_vectors,
            init=_register_json,
            max_inactive_connection_lifetime=engines.RECYCLE_SECONDS,
            timeout=engines.CONNECT_SECONDS,
            command_timeout=engines.COMMAND_SECONDS,
            server_settings=settings,
            **_where(url),
        )

    async def ask(self, question: Callable[[asyncpg.Connection], Awaitable[Answer]]) -> Answer:
        """Asks outside any transaction; anew where the connection has been lost. Raises what the driver does."""
        try:
            async with self._connection() as connection:
                return await question(connection)
        except _CONNECTION_LOST:
            # The others are of the same age, and more likely than not in the same state.
            await (await self._opened()).expire_connections()
        async with self._connection() as connection:
            return await question(connection)

    @property
    def state(self) -> PoolState:
        """How much of it is in use."""
        return self._turns.state(opened=0 if self._pool is None else self._pool.get_size())

    async def close(self) -> None:
        """Closes every connection, in use or not."""
        with suppress(TimeoutError):
            await asyncio.wait_for((await self._opened()).close(), _CLOSE_SECONDS)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        async with self._turns.turn():
            pool = await self._opened()
            connection = await pool.acquire()
            try:
                yield connection
            finally:
                await pool.release(connection)

    async def _opened(self) -> asyncpg.Pool:
        # Here, because a pool belongs to the event loop that it is made in.
        if self._pool is None:
            self._pool = asyncpg.create_pool(**self._options)
        # Opens no connection.
        return await self._pool


async def _register_json(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)


async def _leave(_connection: asyncpg.Connection) -> None:
    pass


def _where(url: str) -> dict[str, Any]:
    """Returns the URL as the driver's keywords."""
    keywords = driver_keywords(postgres_url(url))
    # SQLAlchemy's name for it.
    cached = keywords.pop("prepared_statement_cache_size", None)
    keywords |= socket_arguments(url)
    return keywords if cached is None else keywords | {"statement_cache_size": cached}
