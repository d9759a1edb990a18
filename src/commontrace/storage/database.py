"""Database: bounded connection pools, and what runs on them: reads, units of work, searches, notifications."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import TypeVar, cast
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker
from sqlalchemy.pool import QueuePool

from commontrace.domain.errors import DatabaseReadOnly
from commontrace.domain.keys.quotas import Lease
from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.storage import engines
from commontrace.storage.error_mapping import is_outdated_plan, translate_errors
from commontrace.storage.events.repository import NOTIFY
from commontrace.storage.events.tail import EventTail, open_tail
from commontrace.storage.keys.quotas import QuotaRepository
from commontrace.storage.keys.repository import CHANNEL as KEYS_CHANGED
from commontrace.storage.listen import listen
from commontrace.storage.pool_limiter import PoolLimiter, PoolState
from commontrace.storage.search.binary_quantized import BinaryQuantizedSearch
from commontrace.storage.search.filter_budget import FilterBudget
from commontrace.storage.search.neighbours import ApproximateSearch
from commontrace.storage.search_pool import SearchPool
from commontrace.storage.tags.repository import get_ids_by_driver
from commontrace.storage.unit_of_work import Reading, UnitOfWork

Result = TypeVar("Result")
ReadOperation = Callable[[Reading], Awaitable[Result]]

_IS_READ_ONLY = text("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean")
_RESERVED_CONNECTIONS = 2
_CLOSE_SECONDS = 1.0


class Database:
    """Access to one migrated Postgres. Opens no connection when it is made.

    `pool_size` bounds each of three pools: searches, other reads, units of work. `pool_timeout` is how many seconds a
    caller waits for a connection. Every method raises the domain's errors, Overloaded among them.
    """

    def __init__(self, url: str, *, pool_size: int = 10, pool_timeout: float = 1.0) -> None:
        session = engines.SESSION_SETTINGS
        self._writing = engines.pooled(url, session, size=pool_size, timeout=pool_timeout)
        self._reading = engines.pooled(url, session, size=pool_size, timeout=pool_timeout, autocommit=True)
        self._write_limiter = PoolLimiter("writes", size=pool_size, timeout=pool_timeout)
        self._read_limiter = PoolLimiter("reads", size=pool_size, timeout=pool_timeout)
        self._searching = SearchPool(url, size=pool_size, timeout=pool_timeout)
        self._filters = FilterBudget(pool_size=pool_size, timeout=pool_timeout)
        # Reserved connections: authentication works while the pools are exhausted, and one connection is left for
        # health checks however many callers are being authenticated (ADR 0027).
        self._reserved = engines.pooled(url, session, size=_RESERVED_CONNECTIONS, timeout=pool_timeout, autocommit=True)
        self._reserved_limiter = PoolLimiter("reserved", size=_RESERVED_CONNECTIONS - 1, timeout=pool_timeout)
        self._is_read_only = False
        self._listening = engines.dedicated(url, session)
        self._sessions = async_sessionmaker(self._writing, expire_on_commit=False)
        self.encoding_jobs_added = asyncio.Event()
        """Set after a commit that enqueued traces for encoding."""
        self.events_added = asyncio.Event()
        """Set after a commit that appended events, for the notifier."""

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[UnitOfWork]:
        """Opens a transaction: leaving the block commits, an exception rolls back."""
        async with self._write_limiter.slot():
            try:
                with translate_errors():
                    async with self._sessions.begin() as session:
                        work = UnitOfWork(session)
                        yield work
            except DatabaseReadOnly:
                await self._suspect_read_only()
                raise
        if work.encoding_jobs.has_added or work.imports.has_added:
            self.encoding_jobs_added.set()
        if work.events.has_added or work.imports.has_added:
            self.events_added.set()

    async def read(self, operation: ReadOperation[Result], *, trace_filter: ResolvedFilter | None = None) -> Result:
        """Runs a read outside any transaction; `trace_filter` is the filter of its statements, if any."""
        async with self._filters.within(trace_filter), self._read_limiter.slot():
            return await _read(self._reading, operation)

    async def read_reserved(self, operation: ReadOperation[Result]) -> Result:
        """Runs a short read of authentication on a reserved connection."""
        async with self._reserved_limiter.slot():
            return await _read(self._reserved, operation)

    async def lease_quota(self, email: str, kind: str, *, needed: int, wanted: int, limit: int) -> Lease:
        """Leases units of a user's quota on a reserved connection, as `QuotaRepository.lease` does."""
        async with self._reserved_limiter.slot():
            return await _run(
                self._reserved,
                lambda connection: QuotaRepository(connection).lease(
                    email, kind, needed=needed, wanted=wanted, limit=limit
                ),
            )

    async def search(
        self, query: Callable[[ApproximateSearch], Awaitable[Result]], *, trace_filter: ResolvedFilter | None = None
    ) -> Result:
        """Runs a search on a connection whose planner stays on the vector index."""
        async with self._filters.within(trace_filter):
            return await self._search(lambda connection: query(ApproximateSearch(connection)))

    async def search_binary_quantized(
        self, query: Callable[[BinaryQuantizedSearch], Awaitable[Result]], *, trace_filter: ResolvedFilter | None
    ) -> Result:
        """Runs a binary quantized search on such a connection."""
        async with self._filters.within(trace_filter):
            return await self._search(lambda connection: query(BinaryQuantizedSearch(connection)))

    async def get_tag_ids(self, names: Collection[str]) -> dict[str, UUID]:
        """Returns tags' ids by canonical name or alias, on a connection of searches. Unknown names are left out."""
        return await self._search(lambda connection: get_ids_by_driver(connection, names))

    async def _search(self, query: Callable[[asyncpg.Connection], Awaitable[Result]]) -> Result:
        with translate_errors():
            return await self._searching.run(query)

    async def notify_event_followers(self) -> None:
        """Wakes up the event followers of every server."""
        async with self._read_limiter.slot():
            await _run(self._reading, lambda connection: connection.execute(NOTIFY))

    @asynccontextmanager
    async def tail_events(self, on_change: Callable[[], None]) -> AsyncIterator[EventTail]:
        """Yields the tail of the event log on a dedicated connection. Calls back when there may be new events."""
        with translate_errors():
            async with open_tail(self._listening, on_change) as tail:
                yield tail

    @asynccontextmanager
    async def listen_for_key_changes(self, on_change: Callable[[UUID], None]) -> AsyncIterator[asyncio.Event]:
        """Listens on a dedicated connection, and calls back with the id of each changed key.

        Yields an event that is set when the connection is lost.
        """
        with translate_errors():
            lost = asyncio.Event()
            async with listen(
                self._listening,
                KEYS_CHANGED,
                on_payload=lambda key_id: on_change(UUID(key_id)),
                on_disconnect=lost.set,
            ):
                yield lost

    @property
    def pools(self) -> tuple[PoolState, ...]:
        """The pools that calls wait for."""
        return (
            self._searching.state,
            self._read_limiter.state(opened=_count_open(self._reading)),
            self._write_limiter.state(opened=_count_open(self._writing)),
        )

    async def ping(self) -> None:
        """Runs a statement. Raises DatabaseUnavailable, and DatabaseReadOnly if the database takes no writes."""
        self._is_read_only = await _run(self._reserved, _is_read_only)
        if self._is_read_only:
            raise DatabaseReadOnly

    async def _suspect_read_only(self) -> None:
        # Older sessions keep the default that they began with: the next ping needs a new session.
        if not self._is_read_only:
            self._is_read_only = True
            await self._reserved.dispose()

    async def close(self) -> None:
        """Closes every connection. Those that do not answer in time stay open until the process ends."""
        disposed = (self._writing, self._reading, self._reserved, self._listening)
        # The driver would wait ten seconds for each.
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await asyncio.gather(*(engine.dispose() for engine in disposed))
        await self._searching.close()


def _count_open(engine: AsyncEngine) -> int:
    pool = cast("QueuePool", engine.pool)
    return pool.checkedout() + pool.checkedin()


async def _is_read_only(connection: AsyncConnection) -> bool:
    is_read_only = bool((await connection.execute(_IS_READ_ONLY)).scalar())
    if is_read_only:
        # A session keeps the default that it began with: the next one may have another.
        await connection.invalidate()
    return is_read_only


async def _read(engine: AsyncEngine, operation: ReadOperation[Result]) -> Result:
    return await _run(engine, lambda connection: operation(Reading(connection)))


async def _run(engine: AsyncEngine, operation: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
    with translate_errors():
        try:
            async with engine.connect() as connection:
                return await operation(connection)
        except DBAPIError as error:
            if not (error.connection_invalidated or is_outdated_plan(error)):
                raise
        # A ping before each use would cost a third of a search; a retry costs nothing until a connection is dead. The
        # pool has dropped all connections of that age, or all with outdated plans, so this one is new.
        async with engine.connect() as connection:
            return await operation(connection)
