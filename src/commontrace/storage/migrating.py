"""Brings a database to the newest revision, or tells that it is not there."""

import asyncio
import time

from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.core.errors import Busy
from commontrace.data_files import data_directory
from commontrace.embeddings.embedder import Embedder
from commontrace.storage import advisory_lock, engines
from commontrace.storage.failures import contention_told, translated

# Any number, the same for every CommonTrace process.
_ADVISORY_LOCK = 0x636F6D6D6F6E
_LOCK_SECONDS = 60.0
_RETRY_SECONDS = 1.0
_RECORDS_MODEL = "0002_create_embedding_models"


class MigrationLocked(Exception):
    """Others have held what a migration needs for too long."""


def newest_revision() -> str:
    """Returns the revision this code needs. A revision's id is its file's name, and the numbers sort."""
    return max(path.stem for path in (data_directory("migrations") / "versions").glob("[0-9]*.py"))


async def current_revision(url: str) -> str | None:
    """Returns the database's revision, None for one that was never migrated. Raises DatabaseUnavailable."""
    engine = engines.unpooled(url)
    try:
        with translated():
            async with engine.connect() as connection:
                return await _revision(connection)
    finally:
        await engine.dispose()


def records_model(revision: str) -> bool:
    """Tells whether a database at the revision knows its embedding model, so that going up needs none."""
    return revision >= _RECORDS_MODEL


async def upgrade(url: str, embedder: Embedder | None) -> bool:
    """Migrates to the newest revision and returns whether there was anything to do.

    Safe when several processes do it at once. A new database is made for `embedder`; one that `records_model` needs
    none. Raises DatabaseUnavailable, MigrationLocked.
    """
    return await _migrate(url, newest_revision(), embedder)


async def downgrade(url: str, revision: str, embedder: Embedder) -> bool:
    """Migrates back to `revision`; "base" removes every table."""
    return await _migrate(url, revision, embedder)


async def _migrate(url: str, target: str, embedder: Embedder | None) -> bool:
    engine = engines.unpooled(url)
    try:
        with translated():
            async with engine.connect() as lock, engine.connect() as connection:
                await lock.execution_options(isolation_level="AUTOCOMMIT")
                if not await advisory_lock.taken(lock, _ADVISORY_LOCK, within_seconds=_LOCK_SECONDS):
                    raise MigrationLocked(f"another process has been migrating this database for {_LOCK_SECONDS:.0f} s")
                give_up_at = time.monotonic() + _LOCK_SECONDS
                before = await _revision(connection)
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


async def _revision(connection: AsyncConnection) -> str | None:
    try:
        return (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
    except ProgrammingError:
        await connection.rollback()
        return None


async def _is_migrated(connection: AsyncConnection, target: str, before: str | None, embedder: Embedder | None) -> bool:
    """Goes as far as it can, a transaction a revision, and tells whether it got there: not where a table is in use."""
    try:
        with contention_told():
            await connection.run_sync(_run_alembic, target, before, embedder)
    except Busy:
        await connection.rollback()
        return False
    return True


def _run_alembic(connection: Connection, target: str, before: str | None, embedder: Embedder | None) -> None:
    # Imported here: it takes half a second that a start without migrations does not owe.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(data_directory("migrations")).replace("%", "%%"))
    config.attributes.update(connection=connection, embedding_model=embedder)
    going_up = before is None or (target != "base" and target > before)
    (command.upgrade if going_up else command.downgrade)(config, target)
