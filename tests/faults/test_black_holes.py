"""A Postgres that does not answer any more keeps nobody from ending."""

import time

import pytest

from commontrace.storage.database import Database
from tests.faults.rig.proxy import proxy_before
from tests.integration.postgres_owners import socket_dir


@pytest.mark.parametrize("postgres_version", ["18"], indirect=True, scope="session")
async def test_closing_does_not_wait_for_connections_that_do_not_answer(database_url: str) -> None:
    async with proxy_before(socket_dir(database_url) / ".s.PGSQL.5432") as proxy:
        name = database_url.partition("?")[0].rpartition("/")[2]
        database = Database(f"postgresql://postgres@{proxy.address}/{name}?sslmode=disable")
        await database.ping()
        await database.read(lambda reading: reading.embedding_models.both())
        proxy.swallow()
        began = time.monotonic()
        await database.close()
        assert time.monotonic() - began < 5
