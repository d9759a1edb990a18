"""Brings a database to the newest revision, or tells that it is not there."""

import asyncio
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.data_files import data_directory
from commontrace.domain.errors import Busy, CommonTraceError
from commontrace.embeddings.embedder import Embedder
from commontrace.storage import advisory_lock, engines
from commontrace.storage.error_mapping import contention_told, is_refusal, translate_errors

# Any number, the same for every CommonTrace process.
_ADVISORY_LOCK = 0x636F6D6D6F6E
_LOCK_SECONDS = 60.0
_RETRY_SECONDS = 1.0
_WITHOUT_TABLES, _RECORDS_MODEL = "0000_enable_pgvector", "0002_create_embedding_models"
_OUR_NAME, _SHOWN = re.compile(r"\d{4}_[a-z0-9_]+"), 40

_WHERE_TOLD = """
    SELECT told.oid::regclass::text AS told_in, to_regclass('trace_tags') IS NOT NULL AS has_traces
    FROM (VALUES (to_regclass('alembic_version'))) AS told (oid)"""
# Whatever columns another application's has.
_TOLD = "SELECT to_jsonb(told) ->> 'version_num' FROM alembic_version AS told LIMIT 2"


class MigrationLocked(Exception):
    """Others have held what a migration needs for too long."""


class MigrationRefused(CommonTraceError):
    """Postgres refuses a step of a migration, of which nothing stays. Its words are in the cause."""


class RevisionNotOurs(CommonTraceError):
    """The table that tells a database's revision is another application's. `said` is what is wrong."""

    def __init__(self, said: str) -> None:
        """Takes what the table holds."""
        super().__init__(f"{said}: {self.advice}")
        self.said = said

    advice: ClassVar = "give CommonTrace a database of its own"


def newest_revision() -> str:
    """Returns the revision this code needs. A revision's id is its file's name, and the numbers sort."""
    return max(path.stem for path in _revision_files())


async def current_revision(url: str) -> str | None:
    """Returns the database's revision, None for one that was never migrated.

    Raises DatabaseUnavailable, RevisionNotOurs.
    """
    engine = engines.unpooled(url)
    try:
        with translate_errors():
            async with engine.connect() as connection:
                return await revision_of(connection)
    finally:
        await engine.dispose()


async def revision_of(connection: AsyncConnection) -> str | None:
    """Returns the same on a connection. Raises RevisionNotOurs, and what the driver does."""
    [found] = await connection.execute(text(_WHERE_TOLD))
    if found.told_in is None:
        return None
    rows = (await connection.execute(text(_TOLD))).scalars().all()
    if not rows:
        return None
    revision: str | None
    [revision, *others] = rows
    if others or not _may_be_ours(revision):
        held = " and ".join(repr((row or "")[:_SHOWN]) for row in rows)
        raise RevisionNotOurs(f"the table {found.told_in} is another application's, it holds {held}")
    if revision > _WITHOUT_TABLES and not found.has_traces:
        raise RevisionNotOurs(f"the table {found.told_in} holds {revision!r}, and CommonTrace's tables are not there")
    return revision


def records_model(revision: str) -> bool:
    """Tells whether a database at the revision knows its embedding model, so that going up needs none."""
    return revision >= _RECORDS_MODEL


async def upgrade(url: str, embedder: Embedder | None) -> bool:
    """Migrates to the newest revision and returns whether there was anything to do.

    Safe when several processes do it at once. A new database is made for `embedder`; one that `records_model` needs
    none. Raises DatabaseUnavailable, MigrationLocked, MigrationRefused, RevisionNotOurs.
    """
    return await _migrate(url, newest_revision(), embedder)


async def downgrade(url: str, revision: str, embedder: Embedder) -> bool:
    """Migrates back to `revision`; "base" removes every table."""
    return await _migrate(url, revision, embedder)


async def _migrate(url: str, target: str, embedder: Embedder | None) -> bool:
    engine = engines.unpooled(url)
    try:
        with translate_errors():
            async with engine.connect() as lock, engine.connect() as connection:
                await lock.execution_options(isolation_level="AUTOCOMMIT")
                if not await advisory_lock.taken(lock, _ADVISORY_LOCK, within_seconds=_LOCK_SECONDS):
                    raise MigrationLocked(f"another process has been migrating this database for {_LOCK_SECONDS:.0f} s")
                give_up_at = time.monotonic() + _LOCK_SECONDS
                before = await revision_of(connection)
                if before == target:
                    return False
                await connection.rollback()
                while not await _is_migrated(connection, target, before, embedder):
                    if time.monotonic() > give_up_at:
                        raise MigrationLocked(
                            f"others have used a table without a pause for {_LOCK_SECONDS:.0f} s:"
                            " wait for long transactions, such as a pg_dump, or end them"
                        )
                    # Calls that had to wait behind get their turn.
                    await asyncio.sleep(_RETRY_SECONDS)
                return True
    finally:
        await engine.dispose()


def _revision_files() -> Iterable[Path]:
    return (data_directory("migrations") / "versions").glob("[0-9]*.py")


def _may_be_ours(revision: str | None) -> bool:
    """Tells whether it is called as ours are, those of later versions too."""
    if revision is None:
        return False
    known = {path.stem for path in _revision_files()}
    return revision in known or (revision > max(known) and _OUR_NAME.fullmatch(revision) is not None)


async def _is_migrated(connection: AsyncConnection, target: str, before: str | None, embedder: Embedder | None) -> bool:
    """Goes as far as it can, a transaction a revision, and tells whether it got there: not where a table is in use."""
    try:
        with contention_told():
            await connection.run_sync(_run_alembic, target, before, embedder)
    except Busy:
        await connection.rollback()
        return False
    except DBAPIError as error:
        if not is_refusal(error):
            raise
        raise MigrationRefused("Postgres refuses a step of the migration, of which nothing stays") from error
    return True


def _run_alembic(connection: Connection, target: str, before: str | None, embedder: Embedder | None) -> None:
    # Imported here: it takes half a second that a start without migrations does not owe.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(data_directory("migrations")).replace("%", "%%"))
    # Whole or not at all where there is nothing yet, so that a refusal leaves nothing behind.
    config.attributes.update(connection=connection, embedding_model=embedder, is_one_transaction=before is None)
    going_up = before is None or (target != "base" and target > before)
    (command.upgrade if going_up else command.downgrade)(config, target)
