"""Locks that tests hold beside a server, and who waits for them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg

from commontrace.domain.errors import Overloaded
from commontrace.storage.database import Database
from tests.conftest import query

_WAITING = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"""


@asynccontextmanager
async def held(url: str, statement: str) -> AsyncIterator[None]:
    """Keeps what the statement locks until the block ends."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        async with connection.transaction():
            await connection.execute(statement)
            yield
    finally:
        await connection.close()


@asynccontextmanager
async def only_connection_held(database: Database) -> AsyncIterator[None]:
    """Keeps the connection for writes of a pool that has one, as soon as a server's own work leaves it free."""
    async with AsyncExitStack() as holding:
        work = None
        while work is None:
            try:
                work = await holding.enter_async_context(database.unit_of_work())
            except Overloaded:
                continue
        await work.users.get_id("holder@example.org")
        yield


async def until_waiting(url: str, count: int = 1) -> None:
    """Returns when so many statements of the database wait for locks."""
    async with asyncio.timeout(10):
        while (await query(url, _WAITING))[0][0] < count:  # noqa: ASYNC110 - the database's event is not ours
            await asyncio.sleep(0.01)


async def end_waiting_migration(url: str) -> None:
    """Ends the connection of a migration that waits for a lock."""
    await query(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'commontrace-migrate' AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()",
    )
