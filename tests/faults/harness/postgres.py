"""A Postgres of the rig's own: it outlives servers and can be killed, stopped, and started again."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from commontrace.storage.embedded_postgres import instance as embedded_postgres
from commontrace.storage.embedded_postgres.processes import processes_on
from tests.support.prepared_data import copy_migrated

# Every write is acknowledged before it is on disk, and stays off it for as long as it may.
FORGETFUL = {"synchronous_commit": "off", "wal_writer_delay": "10s", "wal_writer_flush_after": "1GB"}

DIMENSIONS = 64
"""Of the lexical embedder that its servers encode with."""
_RECOVERY_SECONDS = 30.0
_WORKING = "SELECT pid FROM pg_stat_activity WHERE application_name = 'commontrace' ORDER BY state = 'idle', pid"

Result = TypeVar("Result")


class Postgres:
    """One that runs in `place`; `running_postgres` makes it."""

    def __init__(self, place: Path, thread: ThreadPoolExecutor) -> None:
        """Takes a thread of its own: Postgres ends with the one that started it."""
        self._place = place
        self._thread = thread
        self._running: embedded_postgres.EmbeddedPostgres | None = None

    @property
    def socket(self) -> Path:
        """What it listens on."""
        [socket] = self._place.glob(".s.PGSQL.*[0-9]")
        return socket

    @property
    def url(self) -> str:
        """For connections that go through no proxy."""
        assert self._running is not None
        return self._running.url

    async def start(self) -> None:
        """Starts it, or starts it again after a kill, and returns when it accepts connections."""
        await self._in_thread(self._start)

    async def stop(self) -> None:
        """Ends it."""
        await self._in_thread(self._stop)

    async def set(self, **settings: str) -> None:
        """Changes settings that need no restart."""
        for name, value in settings.items():
            await self.ask(f"ALTER SYSTEM SET {name} = '{value}'")
        await self.ask("SELECT pg_reload_conf()")

    async def ask(self, sql: str, database: str = "postgres") -> Sequence[Any]:
        """Returns every row; asks again while Postgres recovers."""
        async with asyncio.timeout(_RECOVERY_SECONDS):
            while True:
                try:
                    connection = await asyncpg.connect(self.url.replace("+asyncpg", ""), database=database, timeout=5)
                    try:
                        return list(await connection.fetch(sql))
                    finally:
                        await connection.close()
                except (OSError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError):
                    await asyncio.sleep(0.02)

    async def kill_backend(self, chance: random.Random) -> None:
        """Kills a backend of the service, one that works if there is one: Postgres ends all others and recovers."""
        # There is none while a server connects again.
        while not (pids := [row["pid"] for row in await self.ask(_WORKING)]):  # noqa: ASYNC110 - it asks another process
            await asyncio.sleep(0.02)
        with suppress(ProcessLookupError):
            os.kill(chance.choice(pids[:4]), signal.SIGKILL)

    async def kill_postmaster(self) -> None:
        """Kills the postmaster and starts another when the last backend is gone."""
        assert self._running is not None
        os.kill(self._running.pid, signal.SIGKILL)
        await self.start()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stops every process of it (SIGSTOP) as long as the block lasts."""
        pids: list[int] = []
        try:
            # The postmaster first: it makes others.
            while new := [pid for pid in sorted(self._pids()) if pid not in pids]:
                _send(signal.SIGSTOP, new)
                pids += new
            yield
        finally:
            _send(signal.SIGCONT, pids)

    def _pids(self) -> list[int]:
        [cluster] = self._place.glob("postgres-*")
        return processes_on(cluster)

    def _start(self) -> None:
        self._stop()
        self._running = embedded_postgres.start(self._place)

    def _stop(self) -> None:
        if self._running is not None:
            self._running.stop()

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _send(number: signal.Signals, pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@asynccontextmanager
async def running_postgres(place: Path, **settings: str) -> AsyncIterator[Postgres]:
    """Yields a new one, with these settings, in a directory below `place`; its first database is migrated."""
    copy_migrated(place / "pg", dimensions=DIMENSIONS)
    with ThreadPoolExecutor(max_workers=1) as thread:
        postgres = Postgres(place / "pg", thread)
        await postgres.start()
        try:
            await postgres.set(**settings)
            yield postgres
        finally:
            await postgres.stop()
