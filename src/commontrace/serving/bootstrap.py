"""Bootstrap: opens what every server command needs, a migrated database and its embedder, and checks both first."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import structlog

from commontrace.core.traces import seed as trace_seeding
from commontrace.data_files import data_directory
from commontrace.domain.doctor import postgres as postgres_doctor
from commontrace.domain.errors import DatabaseReadOnly
from commontrace.embeddings.embedder import Embedder, EmbedderUnavailable
from commontrace.serving.database_checks import (
    database_facts,
    refuse_newer,
    refuse_problems,
    require_durable,
    require_newest_revision,
)
from commontrace.serving.database_embedder import embedder_for
from commontrace.serving.embedder_factory import choose_embedder
from commontrace.serving.not_ready import NotReady
from commontrace.settings import Settings
from commontrace.storage import migrations
from commontrace.storage.database import Database
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from commontrace.storage.encoding.reembedding import Reembedding
from commontrace.storage.encoding.reembedding_lock import exclusive_reembedding
from commontrace.storage.imports.bulk_loading import BulkLoading, exclusive_bulk_loading
from commontrace.storage.postgres_url import parse_postgres_url

log = structlog.get_logger()

HOW_TO_HAVE_ONE = (
    "`commontrace serve` makes one; or set DATA_DIR, EMBEDDED_POSTGRES_VERSION or DATABASE_URL to where yours is"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Postgres:
    """A running Postgres: the URL of the database, and the process of an embedded one that this process started."""

    url: str
    is_embedded: bool
    process: embedded_postgres.EmbeddedPostgres | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Foundation:
    """A migrated database and its embedder."""

    database: Database
    embedder: Embedder


@contextmanager
def postgres(settings: Settings, *, attach: bool) -> Iterator[Postgres]:
    """Yields the Postgres of the settings; an embedded one that is started here runs as long as the block.

    With `attach`, an embedded one that already runs is used instead of being refused, and none is created. Raises
    NotReady, DataDirectoryInUse, EmbeddedPostgresFailed.
    """
    if settings.database_url is not None:
        try:
            parse_postgres_url(settings.database_url)
        except ValueError as error:
            raise NotReady(str(error)) from None
        yield Postgres(url=settings.database_url, is_embedded=False)
        return
    if attach:
        if (running := embedded_postgres.attach(settings.data_dir)) is not None:
            yield Postgres(url=running, is_embedded=True)
            return
        if (missing := missing_database(settings)) is not None:
            raise NotReady(f"{missing}: {HOW_TO_HAVE_ONE}")
    with embedded_postgres.start(
        settings.data_dir,
        version=settings.embedded_postgres_version,
        shared_buffers=settings.embedded_shared_megabytes,
    ) as started:
        yield Postgres(url=started.url, is_embedded=True, process=started)


def missing_database(settings: Settings) -> str | None:
    """Returns a sentence that says where an embedded database is missing, None where there is one.

    Raises EmbeddedPostgresFailed.
    """
    if embedded_postgres.is_created(settings.data_dir, version=settings.embedded_postgres_version):
        return None
    return f"there is no database of PostgreSQL {settings.embedded_postgres_version} in {settings.data_dir}"


async def migrate(instance: Postgres, settings: Settings) -> bool:
    """Migrates to the newest revision and returns whether there was anything to do.

    Raises NotReady, ModelNotUsable, and what `migrations.upgrade` does.
    """
    facts, writing = await database_facts(instance.url)
    refuse_problems(postgres_doctor.check_database(facts))
    revision, newest = await migrations.current_revision(instance.url), migrations.newest_revision()
    if revision == newest:
        return False
    refuse_newer(revision, newest)
    refuse_problems([postgres_doctor.check_writing(writing)])
    if revision is None:
        refuse_problems(postgres_doctor.check_room(facts))
    if facts.pgvector is not None or not facts.offers_pgvector:
        refuse_problems([postgres_doctor.check_pgvector(facts)])
    if revision is not None and migrations.records_model(revision):
        # Revisions from there on need no model: a hosted one may be away.
        return await migrations.upgrade(instance.url, None)
    embedder = await choose_embedder(settings, recorded=None)
    try:
        return await migrations.upgrade(instance.url, embedder)
    finally:
        await embedder.close()


@asynccontextmanager
async def migrated(instance: Postgres, settings: Settings) -> AsyncIterator[Database]:
    """Yields the migrated database alone. Raises NotReady, DatabaseUnavailable, RevisionNotOurs."""
    await require_newest_revision(instance.url)
    async with _opened(instance, settings) as database:
        yield database


@asynccontextmanager
async def foundation(instance: Postgres, settings: Settings) -> AsyncIterator[Foundation]:
    """Yields the migrated database and its embedder, and closes both.

    Raises NotReady, ModelNotUsable, DatabaseUnavailable, RevisionNotOurs.
    """
    require_durable(await require_newest_revision(instance.url), settings)
    async with _opened(instance, settings) as database:
        embedder = await embedder_for(database, settings, is_embedded=instance.is_embedded)
        if embedder.is_lexical:
            log.warning(
                "searches compare words, not meaning: this database uses the lexical embedder", why=_why(settings)
            )
        try:
            yield Foundation(database=database, embedder=embedder)
        finally:
            await embedder.close()


@asynccontextmanager
async def reembedding(instance: Postgres) -> AsyncIterator[Reembedding]:
    """Yields the steps of a re-encoding for another model, under a lock that one process at a time holds (ADR 0020).

    Raises NotReady, ReembeddingInProgress, DatabaseUnavailable.
    """
    await require_newest_revision(instance.url)
    async with exclusive_reembedding(instance.url):
        steps = Reembedding(instance.url)
        try:
            yield steps
        finally:
            await steps.close()


@asynccontextmanager
async def bulk_loading(instance: Postgres) -> AsyncIterator[BulkLoading]:
    """Yields the steps of a bulk import, under a lock that one process at a time holds (ADR 0063).

    Raises NotReady, BulkImportInProgress, DatabaseUnavailable.
    """
    await require_newest_revision(instance.url)
    async with exclusive_bulk_loading(instance.url) as loading:
        yield loading


@asynccontextmanager
async def _opened(instance: Postgres, settings: Settings) -> AsyncIterator[Database]:
    database = Database(instance.url, pool_size=settings.database_pool_size)
    try:
        yield database
    finally:
        await database.close()


def _why(settings: Settings) -> str:
    return "EMBEDDER=lexical" if settings.embedder == "lexical" else "no embedding model was found when it was created"


async def seed(foundation: Foundation) -> int:
    """Stores the sample traces that are missing and returns how many they were. Raises EmbedderUnavailable."""
    return await trace_seeding.seed(
        trace_seeding.read_seeds(data_directory("fixtures")), foundation.database, foundation.embedder
    )


async def seed_if_possible(foundation: Foundation) -> None:
    """Stores the sample traces that are missing, or logs why that has to wait."""
    try:
        await seed(foundation)
    except EmbedderUnavailable as error:
        log.warning("sample traces are missing until a start at which they can be encoded", why=str(error))
    except DatabaseReadOnly as error:
        log.warning("sample traces are missing until a start at which they can be written", why=str(error))
