"""What must stand before anything can be served: a database at the right revision and the embedder it was made for."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import structlog

from commontrace.core.traces import seed as seeding
from commontrace.data_files import data_directory
from commontrace.domain.doctor import postgres as postgres_diagnosis
from commontrace.domain.doctor.findings import Finding, Level
from commontrace.domain.doctor.postgres import PostgresFacts, WritingFacts
from commontrace.domain.errors import DatabaseReadOnly
from commontrace.domain.traces.contribution import embedding_text
from commontrace.embeddings.embedder import Embedder, EmbedderUnavailable, ModelNotUsable
from commontrace.embeddings.model import RecordedModel
from commontrace.serving.embedder_factory import choose_embedder, embedder_of, settings_that_fit
from commontrace.settings import Settings
from commontrace.storage import migrations as migrating
from commontrace.storage.database import Database
from commontrace.storage.doctor.inspector import inspect_database
from commontrace.storage.doctor.refusals import InspectionFailed
from commontrace.storage.embedded_postgres import instance as embedded
from commontrace.storage.encoding.reembedding import Reembedding
from commontrace.storage.encoding.reembedding_lock import exclusive_reembedding
from commontrace.storage.postgres_url import parse_postgres_url

log = structlog.get_logger()


class NotReady(Exception):
    """The server cannot start. The message says what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Postgres:
    """Where the database is, whether it is the embedded one, and its process if that is ours."""

    url: str
    is_embedded: bool
    process: embedded.EmbeddedPostgres | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Foundation:
    """A migrated database and its embedder."""

    database: Database
    embedder: Embedder


@contextmanager
def postgres(settings: Settings, *, attach: bool) -> Iterator[Postgres]:
    """Yields the Postgres of the settings; an embedded one runs as long as the block.

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
        if (running := embedded.attach(settings.data_dir)) is not None:
            yield Postgres(url=running, is_embedded=True)
            return
        if (missing := missing_database(settings)) is not None:
            raise NotReady(f"{missing}: {HOW_TO_HAVE_ONE}")
    with embedded.start(
        settings.data_dir,
        version=settings.embedded_postgres_version,
        shared_buffers=settings.embedded_shared_megabytes,
    ) as started:
        yield Postgres(url=started.url, is_embedded=True, process=started)


HOW_TO_HAVE_ONE = (
    "`commontrace serve` makes one; or set DATA_DIR, EMBEDDED_POSTGRES_VERSION or DATABASE_URL to where yours is"
)


def missing_database(settings: Settings) -> str | None:
    """Returns where an embedded database was looked for and is not, None where it is. Raises EmbeddedPostgresFailed."""
    if embedded.is_created(settings.data_dir, version=settings.embedded_postgres_version):
        return None
    return f"there is no database of PostgreSQL {settings.embedded_postgres_version} in {settings.data_dir}"


async def migrate(where: Postgres, settings: Settings) -> bool:
    """Migrates to the newest revision; returns whether there was anything to do. Raises NotReady, ModelNotUsable."""
    facts, writing = await _look(where)
    _refuse_problems(postgres_diagnosis.check_database(facts))
    revision, newest = await migrating.current_revision(where.url), migrating.newest_revision()
    if revision == newest:
        return False
    _refuse_newer(revision, newest)
    _refuse_problems([postgres_diagnosis.check_writing(writing)])
    if revision is None:
        _refuse_problems(postgres_diagnosis.check_room(facts))
    if facts.pgvector is not None or not facts.offers_pgvector:
        _refuse_problems([postgres_diagnosis.check_pgvector(facts)])
    if revision is not None and migrating.records_model(revision):
        # Nothing in it depends on a model any more, so a hosted one may be away.
        return await migrating.upgrade(where.url, None)
    embedder = await choose_embedder(settings, recorded=None)
    try:
        return await migrating.upgrade(where.url, embedder)
    finally:
        await embedder.close()


@asynccontextmanager
async def migrated(where: Postgres, settings: Settings) -> AsyncIterator[Database]:
    """Yields the database alone, or raises NotReady, DatabaseUnavailable, RevisionNotOurs."""
    await _require_fit(where)
    async with _opened(where, settings) as database:
        yield database


@asynccontextmanager
async def foundation(where: Postgres, settings: Settings) -> AsyncIterator[Foundation]:
    """Yields the database and its embedder, or raises NotReady, ModelNotUsable, DatabaseUnavailable."""
    _require_durable(await _require_fit(where), settings)
    async with _opened(where, settings) as database:
        embedder = await _embedder(where, settings, database)
        if embedder.is_lexical:
            log.warning(
                "searches compare words, not meaning: this database uses the lexical embedder", why=_why(settings)
            )
        try:
            yield Foundation(database=database, embedder=embedder)
        finally:
            await embedder.close()


@asynccontextmanager
async def reembedding(where: Postgres) -> AsyncIterator[Reembedding]:
    """Yields the steps to another model, nobody else's meanwhile.

    Raises NotReady, ReembeddingInProgress, DatabaseUnavailable.
    """
    await _require_fit(where)
    async with exclusive_reembedding(where.url):
        steps = Reembedding(where.url)
        try:
            yield steps
        finally:
            await steps.close()


@asynccontextmanager
async def _opened(where: Postgres, settings: Settings) -> AsyncIterator[Database]:
    database = Database(where.url, pool_size=settings.database_pool_size)
    try:
        yield database
    finally:
        await database.close()


async def _require_fit(where: Postgres) -> PostgresFacts:
    """Returns the facts of a database that holds every text, is at the newest revision and speaks vectors."""
    facts, _ = await _look(where)
    _refuse_problems(postgres_diagnosis.check_database(facts))
    newest = migrating.newest_revision()
    revision = await migrating.current_revision(where.url)
    _refuse_newer(revision, newest)
    if revision is None:
        raise NotReady("the database was never migrated: run `commontrace migrate`")
    if revision != newest:
        raise NotReady(f"the database is at revision {revision}, this server needs {newest}: run `commontrace migrate`")
    _refuse_problems([postgres_diagnosis.check_pgvector(facts)])
    return facts


async def _look(where: Postgres) -> tuple[PostgresFacts, WritingFacts]:
    async with inspect_database(where.url) as database:
        try:
            return await database.get_postgres_facts(), database.writing
        except InspectionFailed as error:
            raise NotReady("the database does not tell its settings: `commontrace doctor` says more") from error


def _refuse_problems(findings: Iterable[Finding]) -> None:
    for finding in findings:
        if finding.level is Level.PROBLEM:
            raise NotReady(f"{finding.message}: {finding.advice}")


def _refuse_newer(revision: str | None, newest: str) -> None:
    if revision is not None and revision > newest:
        raise NotReady(
            f"the database is at {revision}, of a newer version of CommonTrace, and this one knows {newest}:"
            " start the newer version; nothing else can go on from there"
        )


def _require_durable(facts: PostgresFacts, settings: Settings) -> None:
    """Raises NotReady where what is acknowledged might be lost, unless the settings allow it."""
    for finding in postgres_diagnosis.check_durability(facts):
        if finding.level is not Level.PROBLEM:
            continue
        if not settings.allow_unsafe_postgres:
            raise NotReady(
                f"{finding.message}: {finding.advice}, or set ALLOW_UNSAFE_POSTGRES=true where losing data is fine"
            )
        log.warning("what is acknowledged may be lost", why=finding.message)


async def _embedder(where: Postgres, settings: Settings, database: Database) -> Embedder:
    recorded, upcoming = await database.read(lambda reading: reading.embedding_models.get_current_and_next())
    # Seeds can be encoded anew at any time, so a database that holds nothing else is as good as new.
    as_new = (
        where.is_embedded
        and upcoming is None
        and await database.read(lambda reading: reading.embedding_models.has_only_seeds())
    )
    embedder = await choose_embedder(settings, recorded=recorded, may_replace=as_new)
    if recorded.made_by(embedder):
        return embedder
    if not as_new:
        await embedder.close()
        if upcoming is None or not upcoming.made_by(embedder):
            raise NotReady(_mismatch(recorded, embedder))
        log.info("serving by the current model until `commontrace reembed` is done", model=recorded.model_id)
        return await _current_embedder(recorded, upcoming, settings)
    log.info(
        "encoding the seeds anew",
        old=recorded.model_id,
        new=embedder.model_id,
        dimensions=embedder.dimensions,
    )
    seeds = await database.read(lambda reading: reading.traces.list_seeds())
    embeddings = await embedder.encode(
        [embedding_text(seed.title, seed.context_text, seed.solution_text) for seed in seeds]
    )
    vectors = {seed.id: embedding.vector for seed, embedding in zip(seeds, embeddings, strict=True)}
    async with database.unit_of_work() as work:
        await work.embedding_models.replace(embedder, vectors)
    return embedder


async def _current_embedder(recorded: RecordedModel, upcoming: RecordedModel, settings: Settings) -> Embedder:
    try:
        return await embedder_of(recorded, settings)
    except (ModelNotUsable, EmbedderUnavailable) as error:
        raise NotReady(
            f"the database is being moved to {upcoming.model_id}, and until `commontrace reembed` is done it takes"
            f" {recorded.model_id}: {error}; or start this server when it is done"
        ) from error


def _why(settings: Settings) -> str:
    return "EMBEDDER=lexical" if settings.embedder == "lexical" else "no embedding model was found when it was created"


def _mismatch(recorded: RecordedModel, embedder: Embedder) -> str:
    stored = f"{recorded.model_id} {recorded.model_version} ({recorded.dimensions} dimensions)"
    asked_for = f"{embedder.model_id} {embedder.model_version} ({embedder.dimensions})"
    return (
        f"the database's vectors come from {stored}, the settings ask for {asked_for}:"
        f" start with {settings_that_fit(recorded)}, or move the database to the model of the settings with"
        " `commontrace reembed`, or give this server a database of its own"
    )


async def seed(foundation: Foundation) -> int:
    """Stores the sample traces that are not there yet; returns how many. Raises EmbedderUnavailable."""
    return await seeding.seed(seeding.read_seeds(data_directory("fixtures")), foundation.database, foundation.embedder)


async def seed_if_possible(foundation: Foundation) -> None:
    """Stores the sample traces that are not there yet, or says in the log why that has to wait."""
    try:
        await seed(foundation)
    except EmbedderUnavailable as error:
        log.warning("sample traces are missing until a start at which they can be encoded", why=str(error))
    except DatabaseReadOnly as error:
        log.warning("sample traces are missing until a start at which they can be written", why=str(error))
