"""What there is to know about a database that may be anything: unreachable, empty, old or damaged. Never writes."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
from asyncpg import PostgresError
from sqlalchemy import ClauseElement, Executable, exists, or_, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import NoResultFound, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateIndex

from commontrace.domain.doctor.findings import VectorIndex
from commontrace.domain.doctor.postgres import PostgresFacts, WritingFacts
from commontrace.domain.doctor.vectors import QueueFacts, Reembedded, VectorCounts
from commontrace.domain.errors import InvalidKey
from commontrace.domain.keys.api_key import parse_key
from commontrace.domain.search.neighbours import NeighbourQuery
from commontrace.domain.search.query import candidates_for
from commontrace.domain.traces.trace_filter import ResolvedFilter, TraceFilter
from commontrace.embeddings.model import RecordedModel
from commontrace.storage import engines
from commontrace.storage import migrations as migrating
from commontrace.storage.doctor import postgres as postgres_facts
from commontrace.storage.encoding import reembedding, reembedding_claim
from commontrace.storage.encoding.models import EmbeddingModelRepository
from commontrace.storage.error_mapping import translate_errors
from commontrace.storage.keys.repository import KeyRepository
from commontrace.storage.models import VECTOR_INDEX, VECTOR_INDEX_NAME, EncodingJob, Trace
from commontrace.storage.search import filter_sql
from commontrace.storage.search.neighbours import approximate_parameters, approximate_statement

_READ_ONLY = {"default_transaction_read_only": "on"}
_PATIENCE_MILLISECONDS = 30_000
_EXAMPLES = 3

# pgvector's defaults: they hold where an index names no others.
_HNSW_DEFAULTS = {"m": "16", "ef_construction": "64"}

_INDEX = """
    SELECT i.indisvalid AND i.indisready AS is_valid, am.amname AS method, opc.opcname AS operator_class,
        COALESCE(c.reloptions, '{}') AS options
    FROM pg_class c
    JOIN pg_index i ON i.indexrelid = c.oid
    JOIN pg_am am ON am.oid = c.relam
    JOIN pg_opclass opc ON opc.oid = i.indclass[0]
    WHERE c.oid = to_regclass(:name)"""

_COUNTS = """
    SELECT count(*) AS live,
        count(*) FILTER (WHERE is_queued) AS queued,
        count(*) FILTER (WHERE is_lost AND embedding_model_id IS NULL) AS missing,
        count(*) FILTER (WHERE is_lost AND embedding_model_id IS NOT NULL) AS foreign
    FROM (
        SELECT embedding_model_id, is_unfound AND trace_id IS NOT NULL AS is_queued,
            is_unfound AND trace_id IS NULL AS is_lost
        FROM traces LEFT JOIN encoding_jobs ON encoding_jobs.trace_id = traces.id,
            LATERAL (
                SELECT (embedding_model_id, embedding_model_version) IS DISTINCT FROM (:model_id, :model_version)
            ) AS of_model (is_unfound)
        WHERE deleted_at IS NULL
    ) AS live"""

_QUEUE = """
    SELECT count(*) FILTER (WHERE given_up_at IS NULL) AS waiting,
        GREATEST(extract(epoch FROM now() - min(created_at) FILTER (WHERE given_up_at IS NULL)), 0)::float8
            AS oldest_seconds,
        count(given_up_at) AS given_up,
        COALESCE((
            SELECT last_error FROM encoding_jobs WHERE last_error <> ''
            ORDER BY given_up_at DESC NULLS LAST, due_at DESC LIMIT 1
        ), '') AS why,
        ARRAY(
            SELECT trace_id FROM encoding_jobs WHERE given_up_at IS NOT NULL ORDER BY trace_id LIMIT :examples
        ) AS examples
    FROM encoding_jobs"""


class CannotTell(Exception):
    """The database refused a question, perhaps because the user may not ask it; its words are in the cause."""


class Diagnosis:
    """Questions that need no particular revision, unless they say so. They raise CannotTell, DatabaseUnavailable."""

    def __init__(self, connection: AsyncConnection, writing: WritingFacts) -> None:
        """Takes a connection of `looking_into`, which cannot write, and what it was like before."""
        self._connection = connection
        self.writing = writing
        """Whether others can write."""

    async def postgres(self) -> PostgresFacts:
        """Returns what the database is, and what its user may do there."""
        with _refusals_told():
            return await postgres_facts.find(self._connection)

    async def revision(self) -> str | None:
        """Returns the database's revision, None for one that was never migrated. Raises RevisionNotOurs."""
        with _refusals_told():
            return await migrating.revision_of(self._connection)

    async def model(self) -> RecordedModel:
        """Returns the model of the stored vectors. Needs the newest revision."""
        with _refusals_told():
            try:
                return await EmbeddingModelRepository(self._connection).current()
            except NoResultFound:
                raise CannotTell("embedding_models names no current model: somebody removed it") from None

    async def next_model(self) -> RecordedModel | None:
        """Returns the model that the database is being moved to. Needs the newest revision."""
        with _refusals_told():
            return await EmbeddingModelRepository(self._connection).next()

    async def reembedded(self) -> Reembedded:
        """Returns how far the way to the next model is. Needs one."""
        with _refusals_told():
            [counts] = await self._connection.execute(text(reembedding.COUNTS))
            is_claimed = await self._connection.execute(text(reembedding_claim.IS_CLAIMED))
        return Reembedded(done=counts.done, total=counts.total, is_under_way=bool(is_claimed.scalar()))

    async def holds_only_seeds(self) -> bool:
        """Tells whether every trace came with the service. Needs the newest revision."""
        with _refusals_told():
            return await EmbeddingModelRepository(self._connection).only_seeds()

    async def index(self) -> VectorIndex | None:
        """Returns the vector index, None where there is none."""
        with _refusals_told():
            row = (await self._connection.execute(text(_INDEX), {"name": VECTOR_INDEX_NAME})).one_or_none()
        if row is None:
            return None
        options = _HNSW_DEFAULTS | dict(option.split("=", 1) for option in row.options)
        return VectorIndex(is_valid=row.is_valid, method=row.method, operator_class=row.operator_class, options=options)

    async def vectors(self, model: RecordedModel) -> VectorCounts:
        """Counts the traces that no search of the model finds, in the queue or not. Needs the newest revision."""
        lost = (
            select(Trace.id)
            .where(
                Trace.deleted_at.is_(None),
                or_(
                    Trace.embedding_model_id.is_distinct_from(model.model_id),
                    Trace.embedding_model_version.is_distinct_from(model.model_version),
                ),
                ~exists().where(EncodingJob.trace_id == Trace.id),
            )
            .order_by(Trace.id)
            .limit(_EXAMPLES)
        )
        with _refusals_told():
            name = {"model_id": model.model_id, "model_version": model.model_version}
            [row] = await self._connection.execute(text(_COUNTS), name)
            examples = (await self._connection.execute(lost)).scalars().all()
        return VectorCounts(
            live=row.live, queued=row.queued, missing=row.missing, foreign=row.foreign, examples=examples
        )

    async def queue(self) -> QueueFacts:
        """Returns who waits for a vector, and who waits no more. Needs the newest revision."""
        with _refusals_told():
            [row] = await self._connection.execute(text(_QUEUE), {"examples": _EXAMPLES})
        return QueueFacts(**row._mapping)

    async def created_at(self, trace_id: UUID) -> datetime | None:
        """Returns when a trace was made, whatever has become of it; None where none has the id. Needs its table."""
        with _refusals_told():
            created = (await self._connection.execute(select(Trace.created_at).where(Trace.id == trace_id))).scalar()
        # Of the first moment there is, the driver tells no zone.
        return created if created is None or created.tzinfo else created.replace(tzinfo=UTC)

    async def has_live_traces(self) -> bool:
        """Tells whether there is any. Needs its table."""
        with _refusals_told():
            live = select(exists().where(Trace.deleted_at.is_(None)))
            return bool((await self._connection.execute(live)).scalar())

    async def takes_key(self, key: str) -> bool:
        """Tells whether a server of this database takes the API key. Needs the newest revision."""
        try:
            wanted = parse_key(key)
        except InvalidKey:
            return False
        with _refusals_told():
            row = await KeyRepository(self._connection).find(wanted.id)
        return row is not None and row.state == "LIVE" and row.digest == wanted.digest


@asynccontextmanager
async def looking_into(url: str) -> AsyncIterator[Diagnosis]:
    """Yields questions to a database, on a connection that cannot write. Raises DatabaseUnavailable, Overloaded."""
    engine = engines.unpooled(url)
    try:
        async with AsyncExitStack() as stack:
            with translate_errors():
                connection = await stack.enter_async_context(engine.connect())
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                writing = await postgres_facts.find_writing(connection)
                await connection.execute(text("SET default_transaction_read_only = on"))
                await connection.execute(text(f"SET statement_timeout = {_PATIENCE_MILLISECONDS}"))
            yield Diagnosis(connection, writing)
    finally:
        await engine.dispose()


async def search_plan(url: str, model: RecordedModel) -> str:
    """Returns what EXPLAIN says of an ordinary search, on a connection as searches have it.

    Needs the newest revision. Raises CannotTell, DatabaseUnavailable, SettingRefused.
    """
    trace_filter = ResolvedFilter(trace_filter=TraceFilter(), tag_ids={})
    limit = 10
    vector = np.zeros(model.dimensions, dtype=np.float32)
    vector[0] = 1.0
    nearest = NeighbourQuery(
        vector=vector,
        model_id=model.model_id,
        model_version=model.model_version,
        limit=limit,
        trace_filter=trace_filter,
    )
    parameters = approximate_parameters(nearest, ef_search=candidates_for(limit))
    statement = _Explain(approximate_statement(filter_sql.kinds_of(trace_filter)))
    settings = engines.SESSION | engines.SEARCH | _READ_ONLY
    engine = engines.pooled(url, settings, size=1, timeout=engines.CONNECT_SECONDS, autocommit=True)
    try:
        with _refusals_told():
            async with engine.connect() as connection:
                return "\n".join((await connection.execute(statement, parameters)).scalars())
    finally:
        await engine.dispose()


def intended_index() -> VectorIndex:
    """Returns the vector index as the migrations make it."""
    options = VECTOR_INDEX.dialect_options["postgresql"]
    return VectorIndex(
        is_valid=True,
        method=options["using"],
        operator_class=options["ops"]["embedding"],
        options={name: str(value) for name, value in options["with"].items()},
    )


def create_index_statement() -> str:
    """Returns the statement that makes the vector index beside a running server."""
    created = str(CreateIndex(VECTOR_INDEX).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
    return " ".join(created.split()).replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY")


class _Explain(Executable, ClauseElement):
    inherit_cache = False

    def __init__(self, statement: ClauseElement) -> None:
        self.statement = statement


@compiles(_Explain)
def _compile_explain(element: _Explain, compiler: Any, **options: Any) -> str:
    return f"EXPLAIN (COSTS OFF) {compiler.process(element.statement, **options)}"


@contextmanager
def _refusals_told() -> Iterator[None]:
    try:
        with translate_errors():
            yield
    # What a new connection is asked first comes as the driver's own error.
    except (SQLAlchemyError, PostgresError) as error:
        raise CannotTell("the database does not say") from error
