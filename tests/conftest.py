"""What the tests stand on: a real Postgres, a real model, and servers on real ports."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import asyncpg
import grpc
import pytest
from sqlalchemy import text

from commontrace.bootstrap import Foundation
from commontrace.embeddings.embedder import Embedder
from commontrace.embeddings.local_model import LocalModel, find_model_directory
from commontrace.server import serving
from commontrace.settings import Settings
from commontrace.storage import embedded, engines, migrating
from commontrace.storage.database import Database
from commontrace.v1.tag_service_pb2_grpc import TagServiceStub
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from commontrace.v1.vote_service_pb2_grpc import VoteServiceStub

POSTGRES_VERSIONS = ("18", "16")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-postgres", action="store_true", help="run the contract tests on the older Postgres, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves contract tests on the older Postgres out, but for those marked: they take long and speak no SQL."""
    if config.getoption("every_postgres"):
        return
    left_out = [item for item in items if _is_repeated(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def _is_repeated(item: pytest.Item) -> bool:
    version = getattr(item, "callspec", None) and item.callspec.params.get("postgres_version")  # type: ignore[attr-defined]
    is_of_the_contract = "contract" in item.path.parts and not item.get_closest_marker("every_postgres")
    return is_of_the_contract and version not in (None, POSTGRES_VERSIONS[0])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what tests counted: whatever they record as `counted`."""
    for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
        for name, value in report.user_properties:
            if name == "counted":
                terminalreporter.line(f"{report.nodeid.rpartition('::')[2]}: {value}")


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of whoever runs the tests configures nothing."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session", params=POSTGRES_VERSIONS, ids=lambda version: f"postgres{version}")
def postgres_version(request: pytest.FixtureRequest) -> str:
    """Every test that needs a database runs on each supported Postgres."""
    return str(request.param)


@pytest.fixture(scope="session")
def postgreses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Starts each version once, however often tests turn from one to the other."""
    with ExitStack() as running:

        @cache
        def url(version: str) -> str:
            started = embedded.start(tmp_path_factory.mktemp("postgres"), version=version)
            found = running.enter_context(started).url
            # No power cut here: tests that kill Postgres start one of their own.
            for statement in ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"):
                asyncio.run(administer(found, statement))
            return found

        yield url


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


@pytest.fixture(scope="session")
def templates(embedder: Embedder) -> Callable[[str], str]:
    """Makes the migrated database of a Postgres once."""

    @cache
    def name(postgres_url: str) -> str:
        asyncio.run(administer(postgres_url, "CREATE DATABASE template_migrated"))
        asyncio.run(migrating.upgrade(url_of(postgres_url, "template_migrated"), embedder))
        return "template_migrated"

    return name


@pytest.fixture(scope="session")
def template(templates: Callable[[str], str], postgres_url: str) -> str:
    """The name of a migrated database to clone."""
    return templates(postgres_url)


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """A database nobody migrated."""
    yield from _database(postgres_url, "template0")


@pytest.fixture
def database_url(postgres_url: str, template: str) -> Iterator[str]:
    """A migrated database without rows."""
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


@pytest.fixture
def start_server(database: Database, embedder: Embedder) -> ServerFactory:
    default_database, default_embedder = database, embedder

    @asynccontextmanager
    async def start(
        *, settings: Settings | None = None, database: Database | None = None, embedder: Embedder | None = None
    ) -> AsyncIterator[RunningServer]:
        foundation = Foundation(database=database or default_database, embedder=embedder or default_embedder)
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

    return start


@pytest.fixture
async def server(start_server: ServerFactory) -> AsyncIterator[RunningServer]:
    """A server on a free port over a database of its own."""
    async with start_server() as running:
        yield running


def server_settings(**changes: object) -> Settings:
    """Settings for a server in this process."""
    # The tests' Postgres does without fsync.
    defaults = {"listen_address": "127.0.0.1:0", "data_dir": Path("/nonexistent"), "allow_unsafe_postgres": True}
    return Settings.model_validate(defaults | changes)


def url_of(postgres_url: str, name: str) -> str:
    return engines.postgres_url(postgres_url).set(database=name).render_as_string(hide_password=False)


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
