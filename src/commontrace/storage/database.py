"""The door to Postgres: bounded pools, and the ways in: questions, units of work, and the tail of the events."""

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
from commontrace.storage.events.tail import EventTail, tailing
from commontrace.storage.keys.quotas import QuotaRepository
from commontrace.storage.keys.repository import CHANNEL as KEYS_CHANGED
from commontrace.storage.listen import listen
from commontrace.storage.pool_limiter import PoolLimiter, PoolState
from commontrace.storage.search.binary_quantized import BinaryQuantizedSearch
from commontrace.storage.search.filter_budget import FilterBudget
from commontrace.storage.search.neighbours import ApproximateSearch
from commontrace.storage.search_pool import SearchPool
from commontrace.storage.tags.repository import ids_by_driver
from commontrace.storage.unit_of_work import Reading, UnitOfWork

Answer = TypeVar("Answer")
Question = Callable[[Reading], Awaitable[Answer]]

_ONLY_READS = text("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean")
_VITAL_CONNECTIONS = 2
_CLOSE_SECONDS = 1.0


class Database:
    """Everything that talks to one migrated Postgres. Making it opens no connection."""

    def __init__(self, url: str, *, pool_size: int = 10, pool_timeout: float = 1.0) -> None:
        """Takes any Postgres URL.

        `pool_size` bounds the connections for searches, for other questions and for units of work each;
        `pool_timeout` is in seconds.
        """
        session = engines.SESSION
        self._writing = engines.pooled(url, session, size=pool_size, timeout=pool_timeout)
        self._reading = engines.pooled(url, session, size=pool_size, timeout=pool_timeout, autocommit=True)
        self._turns_to_write = PoolLimiter("writes", size=pool_size, timeout=pool_timeout)
        self._turns_to_read = PoolLimiter("reads", size=pool_size, timeout=pool_timeout)
        self._searching = SearchPool(url, size=pool_size, timeout=pool_timeout)
        self._filters = FilterBudget(pool_size=pool_size, timeout=pool_timeout)
        # Connections of their own: however busy the others are, callers are known, and however many callers ask to be
        # known, health is told.
        self._vital = engines.pooled(url, session, size=_VITAL_CONNECTIONS, timeout=pool_timeout, autocommit=True)
        self._turns_apart = PoolLimiter("apart", size=_VITAL_CONNECTIONS - 1, timeout=pool_timeout)
        self._only_reads = False
        self._tailing = engines.dedicated(url, session)
        self._sessions = async_sessionmaker(self._writing, expire_on_commit=False)
        self.encoding_wanted = asyncio.Event()
        """Set when a transaction that queued traces for encoding has committed."""
        self.events_added = asyncio.Event()
        """Set after commits that added events, for whoever announces them."""

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[UnitOfWork]:
        """Opens a transaction: leaving commits, an exception rolls back. Raises the domain's errors."""
        async with self._turns_to_write.turn():
            try:
                with translate_errors():
                    async with self._sessions.begin() as session:
                        work = UnitOfWork(session)
                        yield work
            except DatabaseReadOnly:
                await self._look_anew()
                raise
        if work.encoding_jobs.has_added or work.imports.has_added:
            self.encoding_wanted.set()
        if work.events.has_added or work.imports.has_added:
            self.events_added.set()

    async def read(self, question: Question[Answer], *, under: ResolvedFilter | None = None) -> Answer:
        """Asks outside any transaction; `under` is the filter that the question holds, if any.

        Raises the domain's errors.
        """
        async with self._filters.within(under), self._turns_to_read.turn():
            return await _ask(self._reading, question)

    async def read_apart(self, question: Question[Answer]) -> Answer:
        """Asks on connections that calls do not use, for the short questions that come before any call.

        Raises the domain's errors.
        """
        async with self._turns_apart.turn():
            return await _ask(self._vital, question)

    async def lease_quota(self, email: str, kind: str, *, needed: int, wanted: int, most: int) -> Lease:
        """Takes from a user's quota on the same connections (see `QuotaRepository`). Raises the domain's errors."""
        async with self._turns_apart.turn():
            return await _use(
                self._vital,
                lambda connection: QuotaRepository(connection).lease(
                    email, kind, needed=needed, wanted=wanted, most=most
                ),
            )

    async def search(
        self, question: Callable[[ApproximateSearch], Awaitable[Answer]], *, under: ResolvedFilter | None = None
    ) -> Answer:
        """Asks on a connection whose planner stays on the vector index. Raises the domain's errors."""
        async with self._filters.within(under):
            return await self._search(lambda connection: question(ApproximateSearch(connection)))

    async def search_signs(
        self, question: Callable[[BinaryQuantizedSearch], Awaitable[Answer]], *, under: ResolvedFilter | None
    ) -> Answer:
        """Asks on the same connections. Raises the domain's errors."""
        async with self._filters.within(under):
            return await self._search(lambda connection: question(BinaryQuantizedSearch(connection)))

    async def tag_ids(self, names: Collection[str]) -> dict[str, UUID]:
        """Returns the tags' ids by canonical name or alias, on the same connections. Raises the domain's errors."""
        return await self._search(lambda connection: ids_by_driver(connection, names))

    async def _search(self, question: Callable[[asyncpg.Connection], Awaitable[Answer]]) -> Answer:
        with translate_errors():
            return await self._searching.ask(question)

    @asynccontextmanager
    async def tail_events(self, on_news: Callable[[], None]) -> AsyncIterator[EventTail]:
        """Opens a connection of its own that follows the events and calls back when there may be new ones.

        Raises the domain's errors.
        """
        with translate_errors():
            async with tailing(self._tailing, on_news) as tail:
                yield tail

    @asynccontextmanager
    async def hear_of_keys(self, on_change: Callable[[UUID], None]) -> AsyncIterator[asyncio.Event]:
        """Opens a connection of its own that calls back with the id of each key that changes.

        Yields what is set when the connection is lost. Raises the domain's errors.
        """
        with translate_errors():
            lost = asyncio.Event()
            async with listen(
                self._tailing, KEYS_CHANGED, on_word=lambda key_id: on_change(UUID(key_id)), on_end=lost.set
            ):
                yield lost

    @property
    def pools(self) -> tuple[PoolState, ...]:
        """The pools that calls wait for."""
        return (
            self._searching.state,
            self._turns_to_read.state(opened=_opened(self._reading)),
            self._turns_to_write.state(opened=_opened(self._writing)),
        )

    async def ping(self) -> None:
        """Really asks the database. Raises DatabaseUnavailable, and DatabaseReadOnly where it does not write."""
        self._only_reads = await _use(self._vital, _only_reads)
        if self._only_reads:
            raise DatabaseReadOnly

    async def _look_anew(self) -> None:
        # Sessions of before may write still: the next ping is to ask a new one.
        if not self._only_reads:
            self._only_reads = True
            await self._vital.dispose()

    async def close(self) -> None:
        """Closes every connection. Those that do not answer are left to the end of the process."""
        disposed = (self._writing, self._reading, self._vital, self._tailing)
        # The driver would wait ten seconds for each.
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await asyncio.gather(*(engine.dispose() for engine in disposed))
        await self._searching.close()


def _opened(engine: AsyncEngine) -> int:
    pool = cast("QueuePool", engine.pool)
    return pool.checkedout() + pool.checkedin()


async def _only_reads(connection: AsyncConnection) -> bool:
    only_reads = bool((await connection.execute(_ONLY_READS)).scalar())
    if only_reads:
        # A session keeps the default that it began with: the next one may have another.
        await connection.invalidate()
    return only_reads


async def _ask(engine: AsyncEngine, question: Question[Answer]) -> Answer:
    return await _use(engine, lambda connection: question(Reading(connection)))


async def _use(engine: AsyncEngine, use: Callable[[AsyncConnection], Awaitable[Answer]]) -> Answer:
    with translate_errors():
        try:
            async with engine.connect() as connection:
                return await use(connection)
        except DBAPIError as error:
            if not (error.connection_invalidated or is_outdated_plan(error)):
                raise
        # Trying connections before use would cost a third of a search; asking again is free until one is dead.
        # The pool has dropped every connection of that age, this one is new; and of outdated plans, every one.
        async with engine.connect() as connection:
            return await use(connection)
