"""Server states in which calls fail through no fault of the caller."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from structlog.testing import capture_logs

from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.embeddings.local.model import LocalModel, find_model_directory
from commontrace.storage.database import Database
from commontrace.storage.postgres_url import parse_postgres_url
from tests.conftest import RunningServer, ServerFactory, administer, query, server_settings, url_of
from tests.contract.calls import call
from tests.contract.errors.error_row import CREATE, LIST_NAMESPACES, SEARCH, VALID
from tests.integration.storage.reembedding_runs import move_to
from tests.support.locks import only_connection_held

_LISTENS = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE 'LISTEN %commontrace_namespaces%'"""

State = Callable[[ServerFactory, str], AbstractAsyncContextManager[RunningServer]]
"""Starts a server in the state, given the factory and the URL of a migrated database of the test's own."""


@asynccontextmanager
async def _nobody_listens(start_server: ServerFactory, url: str) -> AsyncIterator[RunningServer]:
    address = parse_postgres_url(url).set(host="127.0.0.1", port=1, query={})
    async with _serving(start_server, Database(address.render_as_string(hide_password=False))) as running:
        yield running


@asynccontextmanager
async def _database_dropped(start_server: ServerFactory, url: str) -> AsyncIterator[RunningServer]:
    name = f"{parse_postgres_url(url).database}_dropped"
    # The original, which nobody has connected to yet, serves as template.
    await administer(url_of(url, "postgres"), f"CREATE DATABASE {name} TEMPLATE {parse_postgres_url(url).database}")
    async with _serving(start_server, Database(url_of(url, name))) as running:
        for rpc in (CREATE, SEARCH):
            assert await call(running.channel, rpc, VALID[rpc].SerializeToString()) is None
        await administer(url_of(url, "postgres"), f"DROP DATABASE {name} WITH (FORCE)")
        yield running


@asynccontextmanager
async def _pool_held(start_server: ServerFactory, url: str) -> AsyncIterator[RunningServer]:
    database = Database(url, pool_size=1, pool_timeout=0.1)
    held, release = asyncio.Semaphore(0), asyncio.Event()

    async def hold(_asked: object) -> None:
        held.release()
        await release.wait()

    async with (
        _serving(start_server, database, encoding_worker=False) as running,
        only_connection_held(database),
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(database.read(hold))
        tasks.create_task(database.search(hold))
        for _ in range(2):
            await held.acquire()
        yield running
        release.set()


@asynccontextmanager
async def _embedder_closed(start_server: ServerFactory, _url: str) -> AsyncIterator[RunningServer]:
    directory = find_model_directory()
    assert directory is not None
    model = LocalModel.load(directory)
    await model.close()
    async with start_server(embedder=model) as running:
        yield running


@asynccontextmanager
async def _model_not_calibrated(start_server: ServerFactory, url: str) -> AsyncIterator[RunningServer]:
    model = LexicalEmbedder(96)
    await move_to(model, url)
    async with start_server(embedder=model) as running:
        yield running


@asynccontextmanager
async def schema_broken(start_server: ServerFactory, url: str) -> AsyncIterator[RunningServer]:
    # Unconfigured, structlog would spend seconds on colouring each traceback.
    with capture_logs():
        async with start_server() as running:
            await _know_what_callers_reach(running, url)
            await administer(url, "ALTER TABLE namespaces RENAME COLUMN edit_number TO edits")
            await administer(url, "ALTER TABLE namespace_members RENAME COLUMN created_at TO since")
            await administer(url, "ALTER TABLE traces RENAME COLUMN deleted_at TO gone_at")
            await administer(url, "ALTER TABLE trace_signs RENAME COLUMN is_live TO lives")
            await administer(url, "ALTER TABLE users RENAME COLUMN email TO address")
            await administer(url, "ALTER TABLE tags RENAME COLUMN name TO label")
            await administer(url, "ALTER TABLE trace_events RENAME COLUMN created_at TO time")
            yield running


async def _know_what_callers_reach(running: RunningServer, url: str) -> None:
    """Makes the server know it for some seconds: calls then fail by statements of their own."""
    async with asyncio.timeout(10):
        # A server that begins to listen for changes forgets what it knows.
        while not await query(url, _LISTENS):  # noqa: ASYNC110 - the database's event is not ours
            await asyncio.sleep(0.01)
    assert await call(running.channel, LIST_NAMESPACES, VALID[LIST_NAMESPACES].SerializeToString()) is None


@asynccontextmanager
async def _serving(start_server: ServerFactory, database: Database, **settings: object) -> AsyncIterator[RunningServer]:
    try:
        async with start_server(database=database, settings=server_settings(**settings)) as running:
            yield running
    finally:
        await database.close()


STATES: dict[str, State] = {
    "nobody listens": _nobody_listens,
    "database dropped": _database_dropped,
    "pool held": _pool_held,
    "embedder closed": _embedder_closed,
    "schema broken": schema_broken,
    "model not calibrated": _model_not_calibrated,
}
