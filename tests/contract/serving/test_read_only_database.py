"""A read-only database: reads go on, writes fail with a reason, health and doctor report it, recovery is automatic."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from commontrace.cli.doctor import checks as doctor_checks
from commontrace.domain.doctor.findings import Finding, Level
from commontrace.embeddings.embedder import Embedder
from commontrace.storage import migrations
from commontrace.storage.database import Database
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from tests.conftest import RunningServer, ServerFactory, administer, server_settings
from tests.contract.calls import call
from tests.contract.errors.error_row import CREATE, LIST, SEARCH, VALID
from tests.contract.serving.test_health_and_reflection import NOT_SERVING, SERVING, TRACE_SERVICE
from tests.integration.storage.storing import stored
from tests.support.builders import health_of

READS, WRITES = (LIST, SEARCH), (CREATE,)


async def reason(server: RunningServer, rpc: str) -> str:
    failure = await call(server.channel, rpc, VALID[rpc].SerializeToString())
    return "" if failure is None else (failure.details() or "").partition(":")[0]


async def turns(server: RunningServer, status: int) -> None:
    async with asyncio.timeout(10):
        while await health_of(server.channel, TRACE_SERVICE) != status:  # noqa: ASYNC110 - the server's event is not ours
            await asyncio.sleep(0.05)


async def only_reads(server: RunningServer) -> None:
    assert {await reason(server, rpc) for rpc in READS} == {""}
    for _ in range(12):
        assert {await reason(server, rpc) for rpc in WRITES} == {"DATABASE_UNAVAILABLE"}


async def works(server: RunningServer) -> None:
    assert {await reason(server, rpc) for rpc in (*READS, *WRITES)} == {""}


async def found(monkeypatch: pytest.MonkeyPatch, url: str) -> Finding:
    monkeypatch.setenv("DATABASE_URL", url)
    [finding] = [finding async for finding in doctor_checks.run_checks("nonsense") if finding.check == "writing"]
    return finding


@asynccontextmanager
async def serving(start_server: ServerFactory, url: str, **settings: object) -> AsyncIterator[RunningServer]:
    database = Database(url, pool_timeout=10)
    try:
        async with start_server(database=database, settings=server_settings(**settings)) as running:
            yield running
    finally:
        await database.close()


def of_database(name: str) -> tuple[str, str]:
    return f"ALTER DATABASE {name} SET", f"ALTER DATABASE {name} RESET"


def of_role_in_database(name: str) -> tuple[str, str]:
    return f"ALTER ROLE postgres IN DATABASE {name} SET", f"ALTER ROLE postgres IN DATABASE {name} RESET"


@pytest.mark.parametrize("default_of", [of_database, of_role_in_database])
async def test_a_default_keeps_everybody_from_writing(
    start_server: ServerFactory,
    postgres_url: str,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    default_of: Callable[[str], tuple[str, str]],
) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    turn_on, turn_off = default_of(name)
    async with serving(start_server, database_url, quota_reads_per_minute=100, quota_writes_per_minute=100) as running:
        await works(running)
        assert (await found(monkeypatch, database_url)).level is Level.OK
        await administer(postgres_url, f"{turn_on} default_transaction_read_only = on")
        kill = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608 - ours
        with capture_logs() as lines:
            await administer(postgres_url, kill)
            await turns(running, NOT_SERVING)
            await only_reads(running)
        [told] = [line for line in lines if line["event"] == "the database has to be mended" and "call_id" not in line]
        assert "only reads" in told["why"]
        assert not [line for line in lines if line["event"] == "unexpected failure"]
        finding = await found(monkeypatch, database_url)
        assert finding.level is Level.PROBLEM
        assert finding.advice == f"psql: {turn_off} default_transaction_read_only"
        await administer(postgres_url, finding.advice.removeprefix("psql: "))
        await turns(running, SERVING)
        await works(running)
        assert (await found(monkeypatch, database_url)).level is Level.OK


async def test_a_write_that_is_refused_shows_what_a_look_at_an_older_session_does_not(
    start_server: ServerFactory, postgres_url: str, database_url: str
) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    async with serving(start_server, database_url, encoding_worker=False) as running:
        assert await health_of(running.channel, TRACE_SERVICE) == SERVING
        await administer(postgres_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        # Writes have no connection yet, and health has one of before.
        assert await reason(running, CREATE) == "DATABASE_UNAVAILABLE"
        await turns(running, NOT_SERVING)
        await administer(postgres_url, f"ALTER DATABASE {name} RESET default_transaction_read_only")
        await turns(running, SERVING)
        await works(running)


async def test_a_standby_serves_reads_until_it_is_promoted(
    start_server: ServerFactory, embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with embedded_postgres.start(tmp_path / "data") as primary:
        await migrations.upgrade(primary.url, embedder)
        database = Database(primary.url)
        await stored(database)
        await database.close()
    # Without a primary to follow: it replays what is there, and waits for more.
    (tmp_path / "data" / "postgres-18" / "standby.signal").touch()
    with embedded_postgres.start(tmp_path / "data") as standby:
        with capture_logs() as lines:
            async with serving(start_server, standby.url) as running:
                assert await health_of(running.channel, TRACE_SERVICE) == NOT_SERVING
                assert await health_of(running.channel, "") == SERVING
                assert [line for line in lines if line["event"] == "the database has to be mended"]
                await only_reads(running)
                finding = await found(monkeypatch, standby.url)
                assert finding.level is Level.PROBLEM
                assert "standby" in finding.message
                await administer(standby.url, "SELECT pg_promote()")
                await turns(running, SERVING)
                await works(running)
        assert not [line for line in lines if line["event"] == "unexpected failure"]
        assert (await found(monkeypatch, standby.url)).level is Level.OK
