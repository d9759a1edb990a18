"""Shared fixtures: a real Postgres, a real model, and servers on real ports."""

import asyncio
import fcntl
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol
from uuid import uuid4

import asyncpg
import grpc
import pytest
import pytest_asyncio
from sqlalchemy import text

from commontrace.embeddings.embedder import Embedder
from commontrace.embeddings.local.model import LocalModel, find_model_directory
from commontrace.serving import bootstrap
from commontrace.serving.bootstrap import Foundation
from commontrace.serving.server import serving
from commontrace.settings import Settings
from commontrace.storage import engines, migrations
from commontrace.storage.database import Database
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from commontrace.storage.postgres_url import parse_postgres_url
from commontrace.v1.tag_service_pb2_grpc import TagServiceStub
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from commontrace.v1.vote_service_pb2_grpc import VoteServiceStub
from tests.suite import (  # noqa: F401 - hooks of pytest, which looks for them here
    POSTGRES_VERSIONS,
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_terminal_summary,
)
from tests.support.told_embedder import ToldEmbedder

_POSTGRES_PREFIX, _START_SECONDS = "commontrace-tests-", 60.0


@pytest.fixture(scope="session", autouse=True)
def no_settings_from_outside() -> Iterator[None]:
    """The environment of whoever runs the tests configures nothing."""
    with pytest.MonkeyPatch.context() as patch:
        for name in Settings.model_fields:
            patch.delenv(name.upper(), raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def channels_with_connections_of_their_own() -> Iterator[None]:
    """Ports come again, and with them, in connections that channels share, that nobody listened there before."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (grpc, grpc.aio):
            patch.setattr(module, "insecure_channel", _unshared(module.insecure_channel))
        yield


def _unshared(open_channel: Callable[..., Any]) -> Callable[..., Any]:
    def opened(target: str, options: Sequence[tuple[str, Any]] | None = None, *arguments: Any, **others: Any) -> Any:
        return open_channel(target, [*(options or ()), ("grpc.use_local_subchannel_pool", 1)], *arguments, **others)

    return opened


@pytest.fixture(scope="session", params=POSTGRES_VERSIONS, ids=lambda version: f"postgres{version}")
def postgres_version(request: pytest.FixtureRequest) -> str:
    """Every test that needs a database runs on each supported Postgres."""
    return str(request.param)


@pytest.fixture(scope="session")
def postgreses() -> Iterator[Callable[[str], str]]:
    """Starts each version once, however often tests turn from one to the other."""
    with ExitStack() as running:

        @cache
        def url(version: str) -> str:
            place = running.enter_context(TemporaryDirectory(prefix=_POSTGRES_PREFIX, dir=_memory()))
            found = running.enter_context(embedded_postgres.start(Path(place), version=version)).url
            # No power cut here: tests that kill Postgres start one of their own.
            for statement in ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"):
                asyncio.run(administer(found, statement))
            return found

        yield url


def _memory() -> Path | None:
    """A file system in memory, where databases are made in half the time; None where there is none with room."""
    directory = Path("/dev/shm")  # noqa: S108 - as the parent of a temporary directory
    if not (directory.is_dir() and os.access(directory, os.W_OK) and shutil.disk_usage(directory).free > 2 << 30):
        return None
    _remove_leftovers(directory)
    return directory


def _remove_leftovers(directory: Path) -> None:
    """Frees the memory of runs that were killed: what nobody has the lock of, and nobody is just about to lock."""
    for left in directory.glob(f"{_POSTGRES_PREFIX}*/owner.lock"):
        with suppress(OSError), left.open("r+") as lock:
            if time.time() - left.stat().st_mtime < _START_SECONDS:
                continue
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left.parent)


@pytest.fixture(scope="session")
def postgres_url(postgreses: Callable[[str], str], postgres_version: str) -> str:
    """An empty real Postgres; tests make databases of their own in it."""
    return postgreses(postgres_version)


@pytest.fixture(scope="session")
def embedder() -> Iterator[Embedder]:
    """The local model. Its absence is a failure, not a reason to skip."""
    directory = find_model_directory()
    assert directory is not None, "the model package is not installed: run the tests with `make test`"
    model = LocalModel.load(directory)
    yield model
    asyncio.run(model.close())


@pytest.fixture
def told(embedder: Embedder) -> ToldEmbedder:
    """The local model, which waits or fails when a test tells it to."""
    return ToldEmbedder(embedder)


@pytest.fixture(scope="session")
def templates(embedder: Embedder) -> Callable[[str], str]:
    """Makes the migrated database of a Postgres once."""

    @cache
    def name(postgres_url: str) -> str:
        asyncio.run(administer(postgres_url, "CREATE DATABASE template_migrated"))
        asyncio.run(migrations.upgrade(url_of(postgres_url, "template_migrated"), embedder))
        return "template_migrated"

    return name


@pytest.fixture(scope="session")
def template(templates: Callable[[str], str], postgres_url: str) -> str:
    """The name of a migrated database to clone."""
    return templates(postgres_url)


@pytest.fixture(scope="session")
def seeded_templates(templates: Callable[[str], str], embedder: Embedder) -> Callable[[str], str]:
    """Makes the migrated database of a Postgres with the sample traces once."""

    async def seed(url: str) -> None:
        database = Database(url)
        try:
            await bootstrap.seed(Foundation(database=database, embedder=embedder))
        finally:
            await database.close()

    @cache
    def name(postgres_url: str) -> str:
        asyncio.run(administer(postgres_url, f"CREATE DATABASE template_seeded TEMPLATE {templates(postgres_url)}"))
        asyncio.run(seed(url_of(postgres_url, "template_seeded")))
        return "template_seeded"

    return name


@pytest.fixture(scope="module")
def seeded_database_url(postgreses: Callable[[str], str], seeded_templates: Callable[[str], str]) -> Iterator[str]:
    """A database with the sample traces on the newest Postgres, which the tests of a module share."""
    postgres_url = postgreses(POSTGRES_VERSIONS[0])
    yield from _database(postgres_url, seeded_templates(postgres_url))


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """A database nobody migrated."""
    yield from _database(postgres_url, "template0")


@pytest.fixture
def database_url(postgres_url: str, template: str) -> Iterator[str]:
    """A migrated database without rows."""
    yield from _database(postgres_url, template)


@pytest.fixture(scope="module")
def shared_database_url(postgres_url: str, template: str) -> Iterator[str]:
    """A migrated database for all tests of a module."""
    yield from _database(postgres_url, template)


def _database(postgres_url: str, template: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    asyncio.run(administer(postgres_url, f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield url_of(postgres_url, name)
    asyncio.run(administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The storage layer over a database of its own."""
    # On a machine that runs other tests beside it, a burst is no overload; tests of overloads open databases of theirs.
    database = Database(database_url, pool_timeout=10)
    yield database
    await database.close()


@dataclass(frozen=True, kw_only=True)
class RunningServer:
    """A server in this process, reached through a real channel."""

    address: str
    channel: grpc.aio.Channel
    traces: TraceServiceStub
    votes: VoteServiceStub
    tags: TagServiceStub
    database: Database


class ServerFactory(Protocol):
    """Starts further servers on the test's own database, with settings or parts of their own."""

    def __call__(
        self, *, settings: Settings | None = None, database: Database | None = None, embedder: Embedder | None = None
    ) -> AbstractAsyncContextManager[RunningServer]: ...


@asynccontextmanager
async def _running(foundation: Foundation, settings: Settings | None = None) -> AsyncIterator[RunningServer]:
    async with (
        serving(settings or server_settings(), foundation) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield RunningServer(
            address=address,
            channel=channel,
            traces=TraceServiceStub(channel),
            votes=VoteServiceStub(channel),
            tags=TagServiceStub(channel),
            database=foundation.database,
        )


@pytest.fixture
def start_server(database: Database, embedder: Embedder) -> ServerFactory:
    default_database, default_embedder = database, embedder

    def start(
        *, settings: Settings | None = None, database: Database | None = None, embedder: Embedder | None = None
    ) -> AbstractAsyncContextManager[RunningServer]:
        foundation = Foundation(database=database or default_database, embedder=embedder or default_embedder)
        return _running(foundation, settings)

    return start


@pytest.fixture
async def server(start_server: ServerFactory) -> AsyncIterator[RunningServer]:
    """A server on a free port over a database of its own."""
    async with start_server() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_server(shared_database_url: str, embedder: Embedder) -> AsyncIterator[RunningServer]:
    """A server for all tests of a module, which only read; they run in the module's event loop."""
    database = Database(shared_database_url, pool_timeout=10)
    async with _running(Foundation(database=database, embedder=embedder)) as running:
        yield running
    await database.close()


def server_settings(**changes: object) -> Settings:
    """Settings for a server in this process."""
    # The tests' Postgres does without fsync.
    defaults = {"listen_address": "127.0.0.1:0", "data_dir": Path("/nonexistent"), "allow_unsafe_postgres": True}
    return Settings.model_validate(defaults | changes)


def url_of(postgres_url: str, name: str) -> str:
    return parse_postgres_url(postgres_url).set(database=name).render_as_string(hide_password=False)


async def administer(postgres_url: str, statement: str) -> None:
    # Twice in every test: SQLAlchemy would ask Postgres three questions of its own each time.
    connection = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def query(url: str, sql: str) -> list[Any]:
    """Every row, through a connection beside the server's."""
    engine = engines.unpooled(url)
    async with engine.connect() as connection:
        rows = list(await connection.execute(text(sql)))
    await engine.dispose()
    return rows
