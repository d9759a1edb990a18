"""Transactions of units of work: what an exception, a lost connection and a cancellation leave behind."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from asyncpg import DivisionByZeroError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from commontrace.domain.votes.ballot import Ballot
from commontrace.storage.database import Database
from commontrace.storage.unit_of_work import UnitOfWork
from tests.conftest import administer
from tests.integration.storage.storing import EMAIL, knows, stored

_OTHER = "other@example.org"
_SLOW = text("SELECT pg_sleep(20)")


@pytest.fixture
async def single(database_url: str) -> AsyncIterator[Database]:
    """A database whose units of work share one connection."""
    database = Database(database_url, pool_size=1, pool_timeout=5)
    yield database
    await database.close()


async def _write_by_both(work: UnitOfWork, database: Database) -> None:
    """Adds a user by SQLAlchemy, and tags and a trace by the driver."""
    await work.users.get_or_create(_OTHER)
    await work.tags.block_merges()
    await work.votes.save(
        Ballot(trace_id=await stored(database), vote_type="up", reason=None, comment="", revision=None),
        await work.users.get_or_create(_OTHER),
        revision=1,
    )


async def test_an_exception_rolls_back_statements_of_both_kinds(single: Database, database_url: str) -> None:
    others = Database(database_url, pool_size=2)

    async def fail() -> None:
        async with single.unit_of_work() as work:
            await _write_by_both(work, others)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert not await knows(others, _OTHER)
    async with single.unit_of_work() as work:
        await _write_by_both(work, others)
    assert await knows(others, _OTHER)
    await others.close()


@pytest.mark.parametrize("name", ["SQLAlchemy", "driver"])
async def test_a_failed_statement_rolls_back_and_leaves_the_connection_usable(single: Database, name: str) -> None:
    async def fail() -> None:
        async with single.unit_of_work() as work:
            await work.users.get_or_create(_OTHER)
            transaction = work.votes._executor
            if name == "driver":
                await transaction._driver.fetch("SELECT 1 / 0")
            else:
                await transaction.execute(text("SELECT 1 / 0"))

    with pytest.raises((DBAPIError, DivisionByZeroError), match="division by zero"):
        await fail()
    assert not await knows(single, _OTHER)
    await stored(single)
    assert await knows(single, EMAIL)


async def test_a_cancelled_unit_of_work_stores_nothing_and_frees_its_connection(single: Database) -> None:
    async def write() -> None:
        async with single.unit_of_work() as work:
            await work.users.get_or_create(_OTHER)
            await work.votes._executor.execute(_SLOW)

    writing = asyncio.create_task(write())
    await asyncio.sleep(0.3)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await asyncio.wait_for(stored(single), 5)
    assert not await knows(single, _OTHER)


async def test_connections_that_ended_meanwhile_are_replaced_at_begin(single: Database, postgres_url: str) -> None:
    await stored(single)
    for _ in range(2):
        await administer(
            postgres_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test%'"
            " AND pid <> pg_backend_pid()",
        )
        await stored(single)
