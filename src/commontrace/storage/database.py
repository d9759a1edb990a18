"""Access to Postgres: bounded connection pools for searches, reads and units of work, and subscriptions (ADR 0001)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from typing import TypeVar, cast
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import QueuePool

from commontrace.domain.errors import DatabaseReadOnly
from commontrace.domain.keys.quotas import Lease
from commontrace.domain.namespaces.access import ReadableNamespaces
from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.single_flight_cache import SingleFlightCache
from commontrace.storage import engines, transaction
from commontrace.storage.error_mapping import is_outdated_plan, translate_errors
from commontrace.storage.events.repository import NOTIFY
from commontrace.storage.events.tail import EventTail, open_tail
from commontrace.storage.keys.quotas import QuotaRepository
from commontrace.storage.keys.repository import CHANNEL as KEYS_CHANGED
from commontrace.storage.listen import listen
from commontrace.storage.namespaces.access import CHANNEL as NAMESPACES_CHANGED
from commontrace.storage.pool_limiter import PoolLimiter, PoolState
from commontrace.storage.search.filter_budget import FilterBudget
from commontrace.storage.search.vector_index_state import FRESH_SECONDS
from commontrace.storage.search_pool import CONNECTION_LOST, SearchPool, VectorSearch
from commontrace.storage.unit_of_work import Reading, UnitOfWork

Result = TypeVar("Result")
ReadOperation = Callable[[Reading], Awaitable[Result]]

_IS_READ_ONLY = text("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean")
_RESERVED_CONNECTIONS = 2
_CLOSE_SECONDS = 1.0


class Database:
    """Access to one migrated Postgres, by any Postgres URL. Construction opens no connection.

    `pool_size` bounds each of three pools: of searches, of other reads and of units of work. `pool_timeout` is the
    longest wait for a connection, in seconds.
    """

    def __init__(self, url: str, *, pool_size: int = 10, pool_timeout: float = 1.0) -> None:
        session = engines.SESSION_SETTINGS
        self._write_engine = engines.begun(url, session, size=pool_size, timeout=pool_timeout)
        self._read_engine = engines.pooled(url, session, size=pool_size, timeout=pool_timeout, autocommit=True)
        self._write_limiter = PoolLimiter("writes", size=pool_size, timeout=pool_timeout)
        self._read_limiter = PoolLimiter("reads", size=pool_size, timeout=pool_timeout)
        self._search_pool = SearchPool(url, size=pool_size, timeout=pool_timeout)
        self._index_state: SingleFlightCache[None, bool] = SingleFlightCache(1, ttl=lambda _: FRESH_SECONDS)
        self._filter_budget = FilterBudget(pool_size=pool_size, timeout=pool_timeout)
        # Reserved: while all other connections are busy, callers are still authenticated; and one of them is left to
        # health checks, however many callers wait to be authenticated.
        self._reserved_engine = engines.pooled(
            url, session, size=_RESERVED_CONNECTIONS, timeout=pool_timeout, autocommit=True
        )
        self._reserved_limiter = PoolLimiter("apart", size=_RESERVED_CONNECTIONS - 1, timeout=pool_timeout)
        self._is_read_only = False
        self._dedicated_engine = engines.dedicated(url, session)
        self.encoding_jobs_added = asyncio.Event()
        """Set when a transaction that queued traces for encoding has committed."""
        self.queued_count = 0
        """Number of such transactions so far, for counts of the queue that are held."""
        self.events_added = asyncio.Event()
        """Set after commits that added events, for the notifier."""

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[UnitOfWork]:
        """Opens a transaction: leaving commits, an exception rolls back. Raises the domain's errors."""
        async with self._write_limiter.slot():
            try:
                with translate_errors():
                    async with transaction.begin(self._write_engine) as begun:
                        work = UnitOfWork(begun)
                        yield work
            except DatabaseReadOnly:
                await self._discard_reserved_sessions()
                raise
        if work.encoding_jobs.has_added or work.imports.has_added:
            self.queued_count += 1
            self.encoding_jobs_added.set()
        if work.events.has_added or work.trace_creation.has_added or work.imports.has_added:
            self.events_added.set()

    async def read(self, operation: ReadOperation[Result], *, trace_filter: ResolvedFilter | None = None) -> Result:
        """Runs a read outside any transaction. `trace_filter` is the filter in its statements, if any.

        Raises the domain's errors.
        """
        async with self._budget_of(trace_filter), self._read_limiter.slot():
            return await _read(self._read_engine, operation)

    async def read_reserved(self, operation: ReadOperation[Result]) -> Result:
        """Runs a read on connections that calls do not use: for the short reads that authenticate a call.

        Raises the domain's errors.
        """
        async with self._reserved_limiter.slot():
            return await _read(self._reserved_engine, operation)

    async def lease_quota(self, email: str, kind: str, *, needed: int, wanted: int, limit: int) -> Lease:
        """Leases from a user's quota, on the same connections (see `QuotaRepository`). Raises the domain's errors."""
        async with self._reserved_limiter.slot():
            return await _use(
                self._reserved_engine,
                lambda connection: QuotaRepository(connection).lease(
                    email, kind, needed=needed, wanted=wanted, limit=limit
                ),
            )

    async def search(
        self, operation: Callable[[VectorSearch], Awaitable[Result]], *, trace_filter: ResolvedFilter | None = None
    ) -> Result:
        """Runs a search on a connection of the search pool, outside any transaction. Raises the domain's errors."""
        async with self._budget_of(trace_filter):
            with translate_errors():
                try:
                    async with self._search_pool.connection() as connection:
                        return await operation(VectorSearch(connection))
                except CONNECTION_LOST:
                    await self._search_pool.expire()
                async with self._search_pool.connection() as connection:
                    return await operation(VectorSearch(connection))

    async def has_vector_index(self) -> bool:
        """Returns whether searches can go by the vector index, as of the last FRESH_SECONDS (ADR 0063).

        Raises the domain's errors.
        """
        # On a connection that no search waits for: all searches wait for the answer.
        return await self._index_state.load(
            None, lambda: self.read_reserved(lambda reading: reading.vector_index.is_usable())
        )

    async def get_tag_ids(self, names: Collection[str], namespaces: ReadableNamespaces) -> dict[str, UUID]:
        """Returns the ids of tags that exist for a caller, by canonical name or alias. Raises the domain's errors."""
        return await self.search(lambda search: search.tag_ids(names, namespaces))

    def _budget_of(self, trace_filter: ResolvedFilter | None) -> AbstractAsyncContextManager[None]:
        has_budget = trace_filter is not None and trace_filter.trace_filter.metadata
        return self._filter_budget.limit() if has_budget else nullcontext()

    async def notify_event_followers(self) -> None:
        """Wakes up the event followers of every server. Raises the domain's errors."""
        async with self._read_limiter.slot():
            await _use(self._read_engine, lambda connection: connection.execute(NOTIFY))

    @asynccontextmanager
    async def tail_events(self, on_change: Callable[[], None]) -> AsyncIterator[EventTail]:
        """Opens a connection of its own that follows the event log and calls back when there may be new events.

        Raises the domain's errors.
        """
        with translate_errors():
            async with open_tail(self._dedicated_engine, on_change) as tail:
                yield tail

    @asynccontextmanager
    async def listen_for_access_changes(
        self, on_key: Callable[[UUID], None], on_namespaces: Callable[[], None]
    ) -> AsyncIterator[asyncio.Event]:
        """Opens a connection of its own that calls back with the id of each key that changes, and when namespaces do.

        Yields an event that is set when the connection is lost. Raises the domain's errors.
        """
        with translate_errors():
            lost = asyncio.Event()
            channels: Mapping[str, Callable[[str], None]] = {
                KEYS_CHANGED: lambda key_id: on_key(UUID(key_id)),
                NAMESPACES_CHANGED: lambda _: on_namespaces(),
            }
            async with listen(self._dedicated_engine, channels, on_disconnect=lost.set):
                yield lost

    @property
    def pools(self) -> tuple[PoolState, ...]:
        """The states of the pools that calls wait for."""
        return (
            self._search_pool.state,
            self._read_limiter.state(opened=_opened(self._read_engine)),
            self._write_limiter.state(opened=_opened(self._write_engine)),
        )

    async def ping(self) -> None:
        """Runs a statement. Raises DatabaseUnavailable, and DatabaseReadOnly where the database refuses writes."""
        self._is_read_only = await _use(self._reserved_engine, _refuses_writes)
        if self._is_read_only:
            raise DatabaseReadOnly

    async def _discard_reserved_sessions(self) -> None:
        # Sessions that began before may still write: the next ping needs a new one.
        if not self._is_read_only:
            self._is_read_only = True
            await self._reserved_engine.dispose()

    async def close(self) -> None:
        """Closes every connection. Connections that do not answer end with the process."""
        disposed = (self._write_engine, self._read_engine, self._reserved_engine, self._dedicated_engine)
        # The driver alone would wait ten seconds for each connection.
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await asyncio.gather(*(engine.dispose() for engine in disposed))
        await self._search_pool.close()


def _opened(engine: AsyncEngine) -> int:
    pool = cast("QueuePool", engine.pool)
    return pool.checkedout() + pool.checkedin()


async def _refuses_writes(connection: AsyncConnection) -> bool:
    is_read_only = bool((await connection.execute(_IS_READ_ONLY)).scalar())
    if is_read_only:
        # A session keeps the default that it began with: the next session may have another.
        await connection.invalidate()
    return is_read_only


async def _read(engine: AsyncEngine, operation: ReadOperation[Result]) -> Result:
    return await _use(engine, lambda connection: operation(Reading(connection)))


async def _use(engine: AsyncEngine, use: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
    with translate_errors():
        try:
            async with engine.connect() as connection:
                return await use(connection)
        except DBAPIError as error:
            if not (error.connection_invalidated or is_outdated_plan(error)):
                raise
        # A check of each connection before use would take a third of a search's time; the second attempt costs nothing
        # until one is lost. By now the pool has dropped the connections of that age, or with outdated plans: this one
        # is new.
        async with engine.connect() as connection:
            return await use(connection)
