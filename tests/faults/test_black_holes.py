"""Connections of a Postgres that does not answer, or is just ending them."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from asyncpg import InternalClientError

from commontrace.domain.errors import DatabaseUnavailable
from commontrace.storage.database import Database
from tests.conftest import query
from tests.faults.harness.proxy import Proxy, proxy_before
from tests.integration.storage.postgres_owners import socket_dir

pytestmark = pytest.mark.parametrize("postgres_version", ["18"], indirect=True, scope="session")


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[Proxy]:
    async with proxy_before(socket_dir(database_url) / ".s.PGSQL.5432") as proxy:
        yield proxy


@pytest.fixture
def behind(proxy: Proxy, database_url: str) -> Database:
    name = database_url.partition("?")[0].rpartition("/")[2]
    return Database(f"postgresql://postgres@{proxy.address}/{name}?sslmode=disable")


async def ask_all(database: Database) -> None:
    """Uses a connection of each kind."""
    await database.ping()
    await database.read(lambda reading: reading.embedding_models.get_current_and_next())
    async with database.unit_of_work() as work:
        await work.embedding_models.get_current_and_next()


async def test_closing_does_not_wait_for_connections_that_do_not_answer(behind: Database, proxy: Proxy) -> None:
    await ask_all(behind)
    proxy.swallow()
    began = time.monotonic()
    await behind.close()
    assert time.monotonic() - began < 5


async def test_a_connection_that_is_about_to_end_is_replaced(behind: Database, proxy: Proxy, database_url: str) -> None:
    proxy.lingers = True
    await ask_all(behind)
    # The driver reads of it, but not yet the end of the connection.
    await query(
        database_url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'commontrace'",
    )
    await asyncio.sleep(0.1)
    await ask_all(behind)
    await behind.close()


async def test_one_that_ends_while_it_is_made_is_the_database_being_away(behind: Database) -> None:
    with pytest.raises(DatabaseUnavailable):
        async with behind.unit_of_work():
            raise InternalClientError("cannot switch to state 12; another operation (2) is in progress")


async def test_who_is_cancelled_ends_though_the_commit_fails(behind: Database, proxy: Proxy) -> None:
    async def commit_into_a_black_hole() -> None:
        async with behind.unit_of_work() as work:
            await work.embedding_models.get_current_and_next()
            proxy.swallow()

    committing = asyncio.create_task(commit_into_a_black_hole())
    await asyncio.sleep(0.5)
    committing.cancel()
    await asyncio.sleep(0.1)
    proxy.reset()
    with pytest.raises(asyncio.CancelledError):
        await committing
    await behind.close()
