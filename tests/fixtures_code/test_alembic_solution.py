"""Alembic's async environment: the three files of the solution migrate a real Postgres."""

import asyncio
import re
import sys
from io import StringIO
from pathlib import Path
from types import ModuleType

import alembic
import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError, MissingGreenlet
from sqlalchemy.ext.asyncio import create_async_engine

from tests.fixtures_code.conftest import ImportCode
from tests.fixtures_code.solutions import block

ENVIRONMENT = block("alembic-async-env-asyncpg", "python", 0)
MIGRATE = block("alembic-async-env-asyncpg", "python", 1)
CONCURRENT_REVISION = block("alembic-async-env-asyncpg", "python", 2)

MODELS = """
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(index=True)
"""
FIRST_REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

def upgrade():
    op.create_table("users", sa.Column("id", sa.Integer, primary_key=True))
    op.add_column("users", sa.Column("email", sa.String, nullable=False))

def downgrade():
    op.drop_table("users")
"""
TEMPLATES = Path(alembic.__file__).parent / "templates"


@pytest.fixture
def project(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, import_code: ImportCode) -> Path:
    """A migrations directory as the solution describes it, with a `%` in the url."""
    with_password = make_url(database_url).set(password="50%@").render_as_string(hide_password=False)  # noqa: S106
    assert "%25" in with_password
    monkeypatch.setenv("DATABASE_URL", with_password)
    monkeypatch.setitem(sys.modules, "app", ModuleType("app"))
    monkeypatch.setitem(sys.modules, "app.models", import_code(MODELS))
    migrations = tmp_path / "migrations"
    (migrations / "versions").mkdir(parents=True)
    (migrations / "script.py.mako").write_bytes((TEMPLATES / "async" / "script.py.mako").read_bytes())
    (migrations / "env.py").write_text(ENVIRONMENT.code)
    (migrations / "versions" / "0001.py").write_text(FIRST_REVISION)
    (migrations / "versions" / "0002.py").write_text(CONCURRENT_REVISION.code)
    return migrations


def _config(project: Path, output: StringIO | None = None) -> Config:
    config = Config(output_buffer=output)
    config.set_main_option("script_location", str(project))
    return config


async def _indexes(url: str) -> set[str]:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    rows = await connection.fetch("SELECT indexname FROM pg_indexes WHERE tablename = 'users'")
    await connection.close()
    return {row["indexname"] for row in rows}


def test_migrations_run_up_down_and_up_again(project: Path, database_url: str) -> None:
    config = _config(project)
    command.upgrade(config, "head")
    command.check(config)
    assert asyncio.run(_indexes(database_url)) == {"users_pkey", "ix_users_email"}
    command.downgrade(config, "base")
    assert asyncio.run(_indexes(database_url)) == set()
    command.upgrade(config, "head")
    assert asyncio.run(_indexes(database_url)) == {"users_pkey", "ix_users_email"}


async def test_migrations_run_inside_a_running_loop(project: Path, database_url: str, import_code: ImportCode) -> None:
    engine = create_async_engine(database_url)
    await import_code(MIGRATE.code).migrate(engine, _config(project))
    await engine.dispose()
    assert await _indexes(database_url) == {"users_pkey", "ix_users_email"}


@pytest.mark.usefixtures("collect_abandoned")
@pytest.mark.filterwarnings("ignore:coroutine 'run_async' was never awaited:RuntimeWarning")
async def test_without_a_connection_a_running_loop_is_refused(project: Path) -> None:
    with pytest.raises(RuntimeError, match=re.escape("asyncio.run() cannot be called from a running event loop")):
        command.upgrade(_config(project), "head")


def test_offline_the_sql_is_printed_with_the_concurrent_build_outside_a_transaction(project: Path) -> None:
    output = StringIO()
    command.upgrade(_config(project, output), "head", sql=True)
    before, after = output.getvalue().split("CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_users_email ON users (email);")
    assert before.count("BEGIN;") == before.count("COMMIT;") == 2
    assert after.count("BEGIN;") == after.count("COMMIT;") == 1


def test_without_autocommit_block_a_concurrent_build_is_refused(project: Path) -> None:
    inside = CONCURRENT_REVISION.altered("with op.get_context().autocommit_block():", "if True:")
    (project / "versions" / "0002.py").write_text(inside)
    with pytest.raises(DBAPIError, match="CREATE INDEX CONCURRENTLY cannot run inside a transaction block"):
        command.upgrade(_config(project), "head")


@pytest.mark.usefixtures("collect_abandoned")
@pytest.mark.filterwarnings("ignore:coroutine 'connect' was never awaited:RuntimeWarning")
def test_alembics_default_environment_fails_as_described(project: Path, database_url: str) -> None:
    (project / "env.py").write_bytes((TEMPLATES / "generic" / "env.py").read_bytes())
    config = _config(project)
    config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
    with pytest.raises(MissingGreenlet, match="greenlet_spawn has not been called; can't call await_"):
        command.upgrade(config, "head")


def test_the_ini_parser_refuses_a_percent_sign_in_the_url(project: Path) -> None:
    with pytest.raises(ValueError, match="invalid interpolation syntax"):
        _config(project).set_main_option("sqlalchemy.url", "postgresql+asyncpg://app@db/50%25")
