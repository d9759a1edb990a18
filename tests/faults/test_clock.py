"""A real server and a real Postgres, whose clock is moved while they work, and comes back."""

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from commontrace.client import Client, ResourceExhausted, Unauthenticated, connect
from commontrace.domain.scopes import EVERYTHING
from commontrace.storage.database import Database
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from commontrace.storage.embedded_postgres import launcher as embedded_launcher
from commontrace.v1 import trace_pb2, trace_record_pb2
from tests.conftest import administer, query
from tests.faults.harness.fake_clock import FakeClock
from tests.faults.server_process import ServerProcess
from tests.integration.storage.storing import stored
from tests.integration.storage.test_encoding_queue import UNENCODED
from tests.support.keys import a_key
from tests.support.prepared_data import copy_migrated

ADA, BOB = "ada@example.org", "bob@example.org"
DIMENSIONS = 64
_QUOTA, _LATE_SECOND = 60, 40
_OF_THE_SERVER = "SELECT pid FROM pg_stat_activity WHERE application_name = 'commontrace' AND pid <> pg_backend_pid()"
_HOURS = (24, -24)


@pytest.fixture
def clock(tmp_path: Path) -> FakeClock:
    return FakeClock(tmp_path / "clock")


@pytest.fixture
def postgres(clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(embedded_launcher, "__file__", clock.launcher(embedded_launcher.__file__))
    copy_migrated(tmp_path / "postgres", dimensions=DIMENSIONS)
    with embedded_postgres.start(tmp_path / "postgres") as running:
        yield running.url


@pytest.mark.parametrize("hours", _HOURS)
async def test_a_clock_is_wrong_for_a_while(postgres: str, clock: FakeClock, tmp_path: Path, hours: int) -> None:
    settings = {"DATABASE_URL": postgres, "EMBEDDER": "lexical", "EMBEDDING_DIMENSIONS": str(DIMENSIONS)}
    settings["AUTHENTICATION"] = "keys"
    quotas = {"QUOTA_READS_PER_MINUTE": str(_QUOTA), "QUOTA_WRITES_PER_MINUTE": str(_QUOTA)}
    database = Database(postgres)
    key = (await a_key(database, ADA, EVERYTHING)).text
    with ServerProcess(tmp_path, **settings, **quotas, **clock.environment) as server:
        async with connect(server.address, key=key) as client:
            token = await everything_works(client, database, "", "before")
            clock.move(f"{3600 * hours:+d}")
            [[ahead]] = await query(postgres, "SELECT extract(epoch FROM now())::float8")
            assert abs(ahead - clock.real() - 3600 * hours) < 5, "Postgres does not believe the clock"
            token = await everything_works(client, database, token, "while it is wrong")
            short = (await a_key(database, BOB, EVERYTHING, expires_in=timedelta(minutes=10))).text
            # Later in its minute, whose end is waited for.
            clock.move(f"{3600 * hours + (_LATE_SECOND - int(clock.real())) % 60:+d}")
            more_at = time.monotonic() + await use_up_reads(server.address, short)
            orphan = await a_job_of_a_dead_worker(database)
            await administer(postgres, f"SELECT pg_terminate_backend(pid) FROM ({_OF_THE_SERVER}) AS them")  # noqa: S608
            await asyncio.sleep(0.5)
            token = await everything_works(client, database, token, "behind lost connections")
            clock.move("+0")
            await encoded(client, orphan)
            token = await everything_works(client, database, token, "when it is right again")
            opened = await query(postgres, _OF_THE_SERVER)
            await everything_works(client, database, token, "and stays so")
            # None is opened anew for each of the dozens of uses; some that fall together may need a few more.
            assert len(set(await query(postgres, _OF_THE_SERVER)) - set(opened)) <= 3
            # Not in the very moment, which is told in whole seconds.
            await asyncio.sleep(max(more_at + 1.5 - time.monotonic(), 0.0))
        async with connect(server.address, key=short) as client:
            if hours > 0:
                await client.list().__anext__()
            else:
                with pytest.raises(Unauthenticated, match="expired"):
                    await client.list().__anext__()
    await database.close()


async def everything_works(client: Client, database: Database, token: str, when: str) -> str:
    """Writes, repeats a write, imports, waits for a vector, asks, and hears of it all; returns the next token."""
    async with client.watch(token) as watch:
        request_id = uuid4()
        made = await client.contribute(f"A lamp {when}", "It flickers.", f"Turn it {when}.", request_id=request_id)
        again = await client.contribute(f"A lamp {when}", "It flickers.", f"Turn it {when}.", request_id=request_id)
        assert (again.created.id, again.created.create_time) == (made.created.id, made.created.create_time)
        import_id = uuid4()
        record = trace_record_pb2.TraceRecord(title=f"A bulb {when}", context="It is dark.", solution=f"Screw {when}.")
        for _ in range(2):
            results = [result async for result in client.import_traces([record], import_id=import_id)]
        [imported] = [result.created_trace_id for result in results]
        assert (await client.import_progress(import_id)).created_count == 1
        waiting = str(await stored(database, title=f"A wire {when}", **UNENCODED))
        async with database.unit_of_work() as work:
            await work.encoding_jobs.enqueue(UUID(waiting))
        await encoded(client, waiting)
        wanted = {made.created.id, imported}
        assert wanted <= {hit.trace.id for hit in await client.search(f"lamp bulb {when}", limit=20)}
        while wanted:
            wanted -= {(await asyncio.wait_for(anext(watch), 10)).trace_id}
        return watch.resume_token


async def encoded(client: Client, trace_id: str) -> None:
    """Waits for a trace's vector."""
    async with asyncio.timeout(20):
        while (await client.get(trace_id)).embedding_state != trace_pb2.EMBEDDING_STATE_READY:  # noqa: ASYNC110
            await asyncio.sleep(0.25)


async def use_up_reads(address: str, key: str) -> float:
    """Returns when there are more, in seconds."""
    async with connect(address, key=key) as client:
        for _ in range(2 * _QUOTA + 1):
            try:
                await anext(client.tags(), None)
            except ResourceExhausted as refusal:
                return refusal.retry_after or 0.0
    raise AssertionError("nobody was refused")


async def a_job_of_a_dead_worker(database: Database) -> str:
    trace_id = await stored(database, title="An orphan", **UNENCODED)
    async with database.unit_of_work() as work:
        await work.encoding_jobs.enqueue(trace_id)
        assert len(await work.encoding_jobs.lease(1, lease_seconds=600)) == 1
    return str(trace_id)
