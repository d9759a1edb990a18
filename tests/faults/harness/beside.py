"""Connections beside a server's own: they hold what the server needs, and see what it asks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from commontrace.storage.embedded_postgres import instance as embedded_postgres
from tests.faults.server_process import ServerProcess

_SERVER = "application_name = 'commontrace' AND backend_type = 'client backend'"
_WAITING = f"SELECT count(*) FROM pg_stat_activity WHERE {_SERVER} AND wait_event_type = 'Lock'"  # noqa: S608 - our own
_BUSY = f"FROM pg_stat_activity WHERE {_SERVER} AND state <> 'idle'"
_STUCK = f"{_BUSY} AND state_change < now() - interval '1 second'"
_ALL = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {_SERVER}"  # noqa: S608 - our own
_ANSWER_SECONDS = 60


class Beside:
    """Monitoring connections to the server's database, beside the server's own."""

    def __init__(self, asking: asyncpg.Connection, holding: asyncpg.Connection) -> None:
        self._asking = asking
        self._holding = holding

    async def ask(self, sql: str) -> list[Any]:
        """Every row."""
        return list(await self._asking.fetch(sql))

    async def waiting(self) -> int:
        """How many of the server's statements wait for a lock."""
        return int(await self._asking.fetchval(_WAITING))

    async def busy(self) -> int:
        """How many of the server's connections carry out a statement or are inside of a transaction."""
        return int(await self._asking.fetchval(f"SELECT count(*) {_BUSY}"))

    async def end_stuck(self) -> int:
        """Ends the server's connections that were busy with one thing for a second, and with it their locks.

        Returns how many there were.
        """
        ended = await self._asking.fetch(f"SELECT pg_terminate_backend(pid, 5000) {_STUCK}")
        return len(ended)

    async def counted(self, sql: str) -> int:
        """Returns a number of Postgres' statistics, after ending the server's connections: they tell what they did."""
        await self._asking.fetch(_ALL)
        return int(await self._asking.fetchval(sql))

    async def until_waiting(self, count: int, seconds: float) -> int:
        """Returns how many statements waited at most, as soon as that is `count`."""
        most, ends_at = 0, asyncio.get_running_loop().time() + seconds
        while most < count and asyncio.get_running_loop().time() < ends_at:
            most = max(most, await self.waiting())
            await asyncio.sleep(0.002)
        return most

    @asynccontextmanager
    async def locked(self, *tables: str) -> AsyncIterator[None]:
        """Nobody else reads the tables while the block runs."""
        transaction = self._holding.transaction()
        await transaction.start()
        try:
            await self._holding.execute(f"LOCK TABLE {', '.join(tables)}")
            yield
        finally:
            await transaction.rollback()


@asynccontextmanager
async def beside(server: ServerProcess) -> AsyncIterator[Beside]:
    """Yields connections to the server's embedded Postgres."""
    url = embedded_postgres.attach(server.data_dir)
    assert url is not None
    address = url.replace("+asyncpg", "")
    asking, holding = [await asyncpg.connect(address, command_timeout=_ANSWER_SECONDS) for _ in range(2)]
    try:
        yield Beside(asking, holding)
    finally:
        await holding.close()
        await asking.close()
