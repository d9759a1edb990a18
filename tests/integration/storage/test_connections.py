import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from commontrace.domain.errors import DatabaseUnavailable, Overloaded
from commontrace.storage.database import Database
from commontrace.storage.unit_of_work import Reading
from tests.conftest import administer, url_of
from tests.integration.storage.storing import EMAIL, a_trace, knows, run, stored

Ask = Callable[[Callable[[Any], Awaitable[Any]]], Awaitable[Any]]


async def test_killed_connections_are_replaced(database: Database, postgres_url: str) -> None:
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test%'"

    async def fill_pools() -> None:
        await asyncio.gather(
            *(ask(lambda reading: run(reading, "SELECT pg_sleep(0.05)")) for ask in asks for _ in range(5))
        )
        await database.ping()

    asks = (database.read, database.search)
    for ask in asks:
        await fill_pools()
        await administer(postgres_url, kill)
        assert await ask(lambda reading: run(reading, "SELECT 42")) == 42
    await fill_pools()
    await administer(postgres_url, kill)
    await stored(database)
    await database.ping()


async def test_cancelled_reads_leak_no_connection(database_url: str) -> None:
    database = Database(database_url, pool_size=5, pool_timeout=0.2)
    moments = random.Random(4)  # noqa: S311 - any moments will do

    async def is_cancelled(ask: Ask) -> bool:
        try:
            async with asyncio.timeout(moments.uniform(0, 0.02)):
                await ask(lambda reading: run(reading, "SELECT pg_sleep(0.01)"))
        except TimeoutError:
            return True
        return False

    cancelled = 0
    while cancelled < 200:
        asks = [database.read, database.search] * 5
        cancelled += sum(await asyncio.gather(*(is_cancelled(ask) for ask in asks)))
    for ask in (database.read, database.search):
        # Longer than one would wait for a turn; of five, one is for others.
        await asyncio.gather(*(ask(lambda reading: run(reading, "SELECT pg_sleep(0.3)")) for _ in range(4)))
    await database.close()


@asynccontextmanager
async def longest_stall() -> AsyncIterator[Callable[[], float]]:
    """Yields what returns the longest time for which nothing ran here: other processes had the machine."""
    longest, last = 0.0, time.monotonic()

    async def tick() -> None:
        nonlocal longest, last
        while True:
            await asyncio.sleep(0.01)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()

    ticking = asyncio.create_task(tick())
    yield lambda: longest
    ticking.cancel()


async def test_exhausted_pools_are_overload_in_time(database_url: str) -> None:
    database = Database(database_url, pool_size=2, pool_timeout=0.2)
    holding, release = asyncio.Semaphore(0), asyncio.Event()

    async def hold(_reading: object) -> None:
        holding.release()
        await release.wait()

    async def write(question: Callable[[Any], Awaitable[Any]]) -> None:
        async with database.unit_of_work() as work:
            await question(work)

    asks: tuple[Ask, ...] = (database.read, database.search, database.read_reserved, write)
    # Of the connections apart, one is kept for health.
    held = [asyncio.ensure_future(ask(hold)) for ask in asks for _ in range(1 if ask == database.read_reserved else 2)]
    async with asyncio.timeout(10):
        for _ in held:
            await holding.acquire()
        await database.ping()

    async def wait(ask: Ask) -> float:
        started = time.monotonic()
        with pytest.raises(Overloaded):
            await ask(hold)
        return time.monotonic() - started

    for ask in asks:
        async with longest_stall() as stall:
            waits = await asyncio.gather(*(wait(ask) for _ in range(500)))
        # On a machine that has nothing else to do, the last one is told after 30 ms more.
        assert 0.2 <= min(waits) <= max(waits) < 1 + stall()
    release.set()
    await asyncio.gather(*held)
    await asyncio.gather(*(ask(lambda reading: run(reading, "SELECT 42")) for ask in (database.read, database.search)))
    await database.ping()
    await stored(database)
    await database.close()


@pytest.mark.parametrize(
    ("limit", "slow"),
    [
        ("statement_timeout", "SELECT pg_sleep(2)"),
        ("lock_timeout", "INSERT INTO tags (id, name) VALUES (gen_random_uuid(), 'python')"),
    ],
)
async def test_a_time_limit_is_no_answer_in_time(database: Database, limit: str, slow: str) -> None:
    async def ask(reading: Reading) -> None:
        await run(reading, f"SELECT set_config('{limit}', '100', false)")
        await run(reading, slow)

    async with database.unit_of_work() as work:
        trace = a_trace(await work.users.get_or_create(EMAIL))
        await work.trace_creation.add(trace)
        await work.tags.attach(trace.id, ["python"])
        with pytest.raises(DatabaseUnavailable, match="did not answer in time"):
            await database.read(ask)


@pytest.mark.parametrize("ask", [Database.ping, stored, lambda database: knows(database, EMAIL)])
async def test_a_database_that_is_not_there_is_unavailable(
    postgres_url: str, ask: Callable[[Database], Awaitable[object]]
) -> None:
    for url in (url_of(postgres_url, "nobody_made_it"), "postgresql://localhost:1/nobody_listens"):
        database = Database(url)
        with pytest.raises(DatabaseUnavailable):
            await ask(database)
        await database.close()
