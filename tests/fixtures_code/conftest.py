import gc
import importlib.util
import itertools
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import make_url

from tests.suite import POSTGRES_VERSIONS

ImportCode = Callable[[str], ModuleType]


@pytest.fixture(scope="session")
def postgres_url(postgreses: Callable[[str], str]) -> str:
    """That of the newest Postgres, which is enough for what only shows others how to use it."""
    return postgreses(POSTGRES_VERSIONS[0])


def _plain(url: str) -> str:
    """The url as asyncpg itself wants it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture
async def database_url(postgres_url: str) -> AsyncIterator[str]:
    """An empty database of the test's own, as a SQLAlchemy url."""
    name = f"solution_{uuid4().hex}"
    server = await asyncpg.connect(_plain(postgres_url))
    await server.execute(f"CREATE DATABASE {name}")
    yield make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A plain connection to the test's database, outside any transaction."""
    connection = await asyncpg.connect(_plain(database_url))
    yield connection
    await connection.close()


@pytest.fixture
def collect_abandoned() -> Iterator[None]:
    """Collects the coroutines a provoked error leaves behind, while their test still ignores the warning."""
    yield
    gc.collect()


@pytest.fixture
def import_code(tmp_path: Path) -> Iterator[ImportCode]:
    """Imports source text as a module of its own, forgotten after the test."""
    names = (f"solution_code_{number}" for number in itertools.count())
    imported: list[str] = []

    def import_code(code: str) -> ModuleType:
        name = next(names)
        path = tmp_path / f"{name}.py"
        path.write_text(code, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        imported.append(name)
        spec.loader.exec_module(module)
        return module

    yield import_code
    for name in imported:
        del sys.modules[name]
