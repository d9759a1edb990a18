"""Schema migrations: upgrade, downgrade, and the revision of a database."""

import asyncio
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.data_files import data_directory
from commontrace.domain.errors import Busy, CommonTraceError
from commontrace.embeddings.embedder import Embedder
from commontrace.storage import advisory_lock, engines
from commontrace.storage.error_mapping import is_permanent_refusal, translate_contention, translate_errors

# An arbitrary number, the same for every CommonTrace process.
_ADVISORY_LOCK = 0x636F6D6D6F6E
_LOCK_SECONDS = 60.0
_RETRY_SECONDS = 1.0
_BEFORE_TABLES, _RECORDS_MODEL = "0000_enable_pgvector", "0002_create_embedding_models"
_REVISION_NAME = re.compile(r"\d{4}_[a-z0-9_]+")
_SHOWN_CHARACTERS = 40

_FIND_VERSION_TABLE = """
    SELECT version.oid::regclass::text AS name, to_regclass('trace_tags') IS NOT NULL AS has_traces
    FROM (VALUES (to_regclass('alembic_version'))) AS version (oid)"""
# to_jsonb: the table of another application may have other columns.
_LIST_VERSIONS = "SELECT to_jsonb(version) ->> 'version_num' FROM alembic_version AS version LIMIT 2"


class MigrationLocked(Exception):
    """Other transactions or processes have held a lock for too long."""


class MigrationRefused(CommonTraceError):
    """Postgres refused a revision, which was rolled back. Its message is in the cause."""


class RevisionNotOurs(CommonTraceError):
    """The table of revisions belongs to another application. `said` is the finding, without the advice."""

    def __init__(self, said: str) -> None:
        super().__init__(f"{said}: {self.advice}")
        self.said = said

    advice: ClassVar = "give CommonTrace a database of its own"


def newest_revision() -> str:
    """Returns the revision that this version needs. A revision's id is the name of its file, which sorts by number."""
    return max(path.stem for path in _revision_files())


async def current_revision(url: str) -> str | None:
    """Returns the database's revision, None if it was never migrated.

    Raises DatabaseUnavailable, RevisionNotOurs.
    """
    engine = engines.unpooled(url)
    try:
        with translate_errors():
            async with engine.connect() as connection:
                return await get_revision(connection)
    finally:
        await engine.dispose()


async def get_revision(connection: AsyncConnection) -> str | None:
    """Returns the same on a connection. Raises RevisionNotOurs, and the driver's errors."""
    [table] = await connection.execute(text(_FIND_VERSION_TABLE))
    if table.name is None:
        return None
    rows = (await connection.execute(text(_LIST_VERSIONS))).scalars().all()
    if not rows:
        return None
    revision: str | None
    [revision, *others] = rows
    if others or not _is_plausible(revision):
        held = " and ".join(repr((row or "")[:_SHOWN_CHARACTERS]) for row in rows)
        raise RevisionNotOurs(f"the table {table.name} is another application's, it holds {held}")
    if revision > _BEFORE_TABLES and not table.has_traces:
        raise RevisionNotOurs(f"the table {table.name} holds {revision!r}, and CommonTrace's tables are not there")
    return revision


def records_model(revision: str) -> bool:
    """Returns whether a database at the revision records its embedding model, so that an upgrade needs none."""
    return revision >= _RECORDS_MODEL


async def upgrade(url: str, embedder: Embedder | None) -> bool:
    """Migrates to the newest revision; returns whether the database was at an older one.

    Safe in several processes at once. A new database is made for the model of `embedder`; one whose revision
    `records_model` needs none. Raises DatabaseUnavailable, MigrationLocked, MigrationRefused, RevisionNotOurs.
    """
    return await _migrate(url, newest_revision(), embedder)


async def downgrade(url: str, revision: str, embedder: Embedder) -> bool:
    """Migrates down to `revision`; "base" drops every table."""
    return await _migrate(url, revision, embedder)


async def _migrate(url: str, target: str, embedder: Embedder | None) -> bool:
    engine = engines.unpooled(url)
    try:
        with translate_errors():
            async with engine.connect() as lock, engine.connect() as connection:
                await lock.execution_options(isolation_level="AUTOCOMMIT")
                if not await advisory_lock.acquire(lock, _ADVISORY_LOCK, within_seconds=_LOCK_SECONDS):
                    raise MigrationLocked(f"another process has been migrating this database for {_LOCK_SECONDS:.0f} s")
                give_up_at = time.monotonic() + _LOCK_SECONDS
                before = await get_revision(connection)
                if before == target:
                    return False
                await connection.rollback()
                while not await _is_migrated(connection, target, before, embedder):
                    if time.monotonic() > give_up_at:
                        raise MigrationLocked(
                            f"others have used a table without a pause for {_LOCK_SECONDS:.0f} s:"
                            " wait for long transactions, such as a pg_dump, or end them"
                        )
                    # A pause, so that the calls that queue behind the lock can run.
                    await asyncio.sleep(_RETRY_SECONDS)
                return True
    finally:
        await engine.dispose()


def _revision_files() -> Iterable[Path]:
    return (data_directory("migrations") / "versions").glob("[0-9]*.py")


def _is_plausible(revision: str | None) -> bool:
    """Returns whether the name is one of our revisions, or could be one of a later version."""
    if revision is None:
        return False
    known = {path.stem for path in _revision_files()}
    return revision in known or (revision > max(known) and _REVISION_NAME.fullmatch(revision) is not None)


async def _is_migrated(connection: AsyncConnection, target: str, before: str | None, embedder: Embedder | None) -> bool:
    """Migrates revision by revision, each in a transaction; returns False if a table is in use."""
    try:
        with translate_contention():
            await connection.run_sync(_run_alembic, target, before, embedder)
    except Busy:
        await connection.rollback()
        return False
    except DBAPIError as error:
        if not is_permanent_refusal(error):
            raise
        raise MigrationRefused("Postgres refuses a step of the migration: repeat it without the cause") from error
    except PendingRollbackError as error:
        # Of a lost connection. Leaving alembic's autocommit block fails on it, and hides the error that says so.
        raise error.__context__ or error from None
    return True


def _run_alembic(connection: Connection, target: str, before: str | None, embedder: Embedder | None) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(data_directory("migrations")).replace("%", "%%"))
    # An empty database is migrated in one transaction, so that a refused revision leaves nothing behind.
    config.attributes.update(connection=connection, embedding_model=embedder, is_one_transaction=before is None)
    going_up = before is None or (target != "base" and target > before)
    (command.upgrade if going_up else command.downgrade)(config, target)
