"""The door to Postgres: two bounded pools, and the two ways in, questions and units of work."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from commontrace.storage import engines
from commontrace.storage.failures import translated
from commontrace.storage.unit_of_work import Reading, UnitOfWork

Answer = TypeVar("Answer")
Question = Callable[[Reading], Awaitable[Answer]]


class Database:
    """Everything that talks to one migrated Postgres. Making it opens no connection."""

    def __init__(self, url: str, *, pool_size: int = 10, pool_timeout: float = 1.0) -> None:
        """Takes any Postgres URL; `pool_size` bounds each of the two pools, `pool_timeout` is in seconds."""
        self._engine = engines.pooled(url, engines.SESSION, size=pool_size, timeout=pool_timeout, ping=True)
        # A ping costs a third of a search; a question that meets a dead connection is asked again instead.
        self._search_engine = engines.pooled(
            url, engines.SESSION | engines.SEARCH, size=pool_size, timeout=pool_timeout, ping=False
        ).execution_options(isolation_level="AUTOCOMMIT")
        # A connection of its own: a saturated pool must not make the health check lie.
        self._health_engine = engines.pooled(url, engines.SESSION, size=1, timeout=pool_timeout, ping=True)
        self._reading_engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[UnitOfWork]:
        """Opens a transaction: leaving commits, an exception rolls back. Raises the domain's errors."""
        with translated():
            async with self._sessions.begin() as session:
                yield UnitOfWork(session)

    async def read(self, question: Question[Answer]) -> Answer:
        """Asks outside any transaction. Raises the domain's errors."""
        return await _ask(self._reading_engine, question)

    async def search(self, question: Question[Answer]) -> Answer:
        """Asks on a connection whose planner stays on the vector index. Raises the domain's errors."""
        return await _ask(self._search_engine, question)

    async def ping(self) -> None:
        """Really asks the database. Raises DatabaseUnavailable."""
        with translated():
            async with self._health_engine.connect() as connection:
                await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Closes every connection."""
        for engine in (self._engine, self._search_engine, self._health_engine):
            await engine.dispose()


async def _ask(engine: AsyncEngine, question: Question[Answer]) -> Answer:
    with translated():
        try:
            async with engine.connect() as connection:
                return await question(Reading(connection))
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        # The pool has dropped every connection of that age: this one is new.
        async with engine.connect() as connection:
            return await question(Reading(connection))
