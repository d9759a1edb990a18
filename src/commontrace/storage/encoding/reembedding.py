"""The second column and index that a database is moved to another embedding model with, while servers use the first.

The columns exist only meanwhile, and no statement of a server names them. A row's next vector is missing while
`next_embedding_revision` is not its revision: every change of its text makes a new one.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Integer, String, Uuid, bindparam, cast, column, func, table, text, update
from sqlalchemy.dialects.postgresql import BIT
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.domain.errors import ModelReplaced
from commontrace.embeddings.embedder import Embedder, Vector
from commontrace.embeddings.model import RecordedModel
from commontrace.storage import engines
from commontrace.storage.encoding.models import EmbeddingModelRepository
from commontrace.storage.encoding.reembedding_claim import UNLIMITED
from commontrace.storage.error_mapping import contention_told, translate_errors
from commontrace.storage.models import CREATE_SIGNS_TRIGGER, DROP_SIGNS_TRIGGER, VECTOR_INDEX, VECTOR_INDEX_NAME
from commontrace.storage.vector_type import VectorType

# Left to itself the planner may read every row to find the few that miss their vector.
_SETTINGS = engines.SESSION | {"application_name": "commontrace-reembed", "enable_seqscan": "off"}
# What waits for a lock that excludes everybody makes everybody behind it wait.
_IMPATIENT = "SET LOCAL lock_timeout = '150ms'"
# Excludes vacuum and index builds only, so nobody queues behind it. Waiting makes an autovacuum give way, after 1 s.
_KEEP_VACUUM_AWAY = "LOCK TABLE traces IN SHARE UPDATE EXCLUSIVE MODE"
_KEEP_WRITERS_AWAY = "LOCK TABLE traces IN EXCLUSIVE MODE"
# In the order of searches.
_KEEP_EVERYBODY_AWAY = "LOCK TABLE trace_signs, traces IN ACCESS EXCLUSIVE MODE"

_IS_MISSING = "next_embedding_revision IS DISTINCT FROM revision"
_HNSW = VECTOR_INDEX.dialect_options["postgresql"]
_NEXT_INDEX = "ix_traces_next_embedding_hnsw"
_MISSING_INDEX = "ix_traces_next_embedding_missing"
_INDEXES = {
    _NEXT_INDEX: f"USING {_HNSW['using']} (next_embedding {_HNSW['ops']['embedding']})"
    f" WITH ({', '.join(f'{name} = {value}' for name, value in _HNSW['with'].items())})",
    # Made last: until then it would make every encoded row's update write into the old vectors' index, too.
    _MISSING_INDEX: f"(id) WHERE {_IS_MISSING}",
}
_CHECKS = {
    "embedding_norm": "vector_norm(next_embedding) BETWEEN 0.999 AND 1.001",
    "embedding_model": "(next_embedding IS NULL) = (next_embedding_model_id IS NULL)"
    " AND (next_embedding IS NULL) = (next_embedding_model_version IS NULL)",
}
_RENAMED = ("embedding", "embedding_model_id", "embedding_model_version")
_COLUMNS = (*(f"next_{name}" for name in _RENAMED), "next_embedding_revision")

_TEXTS = ("title", "context_text", "solution_text")
_WINDOW = text(f"""
    SELECT id, revision, {_IS_MISSING} AS is_missing,
        {", ".join(f"CASE WHEN {_IS_MISSING} THEN {name} END AS {name}" for name in _TEXTS)}
    FROM traces WHERE id > :after ORDER BY id LIMIT :size""").bindparams(bindparam("after", type_=Uuid))  # noqa: S608 - our own names
_MISSING = text(f"SELECT id, revision, {', '.join(_TEXTS)} FROM traces WHERE {_IS_MISSING} ORDER BY id LIMIT :size")  # noqa: S608
COUNTS = f"SELECT count(*) AS total, count(*) FILTER (WHERE NOT {_IS_MISSING}) AS done FROM traces"  # noqa: S608

_TRACES = table(
    "traces",
    column("id", Uuid),
    column("revision", Integer),
    column("next_embedding", VectorType()),
    column("next_embedding_model_id", String),
    column("next_embedding_model_version", String),
    column("next_embedding_revision", Integer),
)
_SIGNS = table("trace_signs", column("trace_id", Uuid), column("next_signs", BIT(varying=True)))
_WRITTEN = (
    update(_TRACES)
    .where(_TRACES.c.id == bindparam("of_trace"), _TRACES.c.revision == bindparam("of_revision"))
    .values(
        next_embedding=bindparam("vector", type_=VectorType()),
        next_embedding_model_id=bindparam("model_id"),
        next_embedding_model_version=bindparam("model_version"),
        next_embedding_revision=bindparam("of_revision"),
    )
    .returning(_TRACES.c.id)
    .cte("written")
)
_WRITE = (
    update(_SIGNS)
    .where(_SIGNS.c.trace_id == _WRITTEN.c.id)
    .values(next_signs=func.binary_quantize(cast(bindparam("vector"), VectorType())))
)


class Unencoded(NamedTuple):
    """A trace whose next vector is missing, or is that of an earlier revision."""

    id: UUID
    revision: int
    title: str
    context: str
    solution: str


class Reembedding:
    """The steps on the way to one model. Each may be cut off at any point, and repeated.

    All raise DatabaseUnavailable; Busy where somebody else holds what is needed: nothing has happened then.
    """

    def __init__(self, url: str) -> None:
        """Takes the database. Opens no connection."""
        self._engine = engines.pooled(url, _SETTINGS, size=1, timeout=10.0)
        self._unlimited = engines.unpooled(url, UNLIMITED)

    async def close(self) -> None:
        """Closes every connection."""
        await self._engine.dispose()
        await self._unlimited.dispose()

    async def models(self) -> tuple[RecordedModel, RecordedModel | None]:
        """Returns the current model and the one that the database is being moved to, if it is."""
        async with self._transaction() as connection:
            return await EmbeddingModelRepository(connection).both()

    async def begin(self, embedder: Embedder) -> None:
        """Adds the columns and records the model that the database is moved to."""
        columns = (f"vector({embedder.dimensions:d})", "varchar", "varchar", "integer")
        added = [f"ADD COLUMN {name} {kind}" for name, kind in zip(_COLUMNS, columns, strict=True)]
        # Not looked at row by row here, while everybody waits.
        checks = [f"ADD CONSTRAINT ck_traces_next_{name} CHECK ({rule}) NOT VALID" for name, rule in _CHECKS.items()]
        async with self._transaction() as connection:
            await _lock(connection, _KEEP_VACUUM_AWAY, _KEEP_EVERYBODY_AWAY)
            await connection.execute(text(f"ALTER TABLE traces {', '.join([*added, *checks])}"))
            await connection.execute(text("ALTER TABLE trace_signs ADD COLUMN next_signs bit varying STORAGE PLAIN"))
            await EmbeddingModelRepository(connection).record(embedder, is_current=False)

    async def validate(self) -> None:
        """Makes Postgres look at every row's checks; nobody waits for it."""
        for name in _CHECKS:
            await self._run(f"ALTER TABLE traces VALIDATE CONSTRAINT ck_traces_next_{name}")

    async def counts(self) -> tuple[int, int]:
        """Returns how many traces have their next vector, and how many there are, deleted ones too."""
        [row] = await self._run(COUNTS)
        return row.done, row.total

    async def total(self) -> int:
        """Returns how many traces there are, deleted ones too."""
        [row] = await self._run("SELECT count(*) AS total FROM traces")
        return int(row.total)

    async def window(self, after: UUID | None, size: int) -> tuple[list[Unencoded], UUID | None]:
        """Returns those of the next `size` traces by id that miss their vector, and the last id; None at the end."""
        async with self._transaction() as connection:
            rows = (await connection.execute(_WINDOW, {"after": after or UUID(int=0), "size": size})).all()
        missing = [
            Unencoded(row.id, row.revision, row.title, row.context_text, row.solution_text)
            for row in rows
            if row.is_missing
        ]
        return missing, rows[-1].id if rows else None

    async def missing(self, size: int) -> list[Unencoded]:
        """Returns up to `size` traces that miss their next vector. Needs the indexes."""
        async with self._transaction() as connection:
            return await _missing(connection, size)

    async def write(self, vectors: Mapping[Unencoded, Vector], embedder: Embedder) -> None:
        """Stores next vectors, except where the text has changed since. Raises InvalidStoredVector, ModelReplaced."""
        async with self._transaction() as connection:
            await _write(connection, vectors, embedder)

    async def build_indexes(self) -> None:
        """Builds what is not there yet, or was broken off, beside everybody's work."""
        for name, definition in _INDEXES.items():
            valid = await self._run(f"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{name}')")  # noqa: S608
            if [row.indisvalid for row in valid] == [True]:
                continue
            await self._run(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            await self._run(f"CREATE INDEX CONCURRENTLY {name} ON traces {definition}")

    @asynccontextmanager
    async def without_writers(self) -> "AsyncIterator[Closing]":
        """Keeps everybody from changing traces as long as the block runs; searches go on. Leaving it commits."""
        async with self._transaction() as connection:
            await _lock(connection, _KEEP_VACUUM_AWAY, _KEEP_WRITERS_AWAY)
            yield Closing(connection)

    async def cancel(self) -> None:
        """Drops whatever was made for the next model."""
        async with self._transaction() as connection:
            await _lock(connection, _KEEP_VACUUM_AWAY, _KEEP_EVERYBODY_AWAY)
            # With its indexes and checks.
            await connection.execute(text(f"ALTER TABLE traces {_dropped(_COLUMNS)}"))
            await connection.execute(text("ALTER TABLE trace_signs DROP COLUMN next_signs"))
            await connection.execute(text("DELETE FROM embedding_models WHERE NOT is_current"))

    async def analyze(self) -> None:
        """Tells the planner of the new column."""
        await self._run("ANALYZE traces")

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        with translate_errors(), contention_told():
            async with self._engine.begin() as connection:
                yield connection

    async def _run(self, statement: str) -> Sequence[Any]:
        with translate_errors(), contention_told():
            async with self._unlimited.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                result = await connection.execute(text(statement))
                return result.all() if result.returns_rows else ()


class Closing:
    """What is left to do while nobody can change a trace."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Takes the connection that holds the lock."""
        self._connection = connection

    async def missing(self, size: int) -> list[Unencoded]:
        """Returns up to `size` traces that miss their next vector; no others will until the block ends."""
        return await _missing(self._connection, size)

    async def write(self, vectors: Mapping[Unencoded, Vector], embedder: Embedder) -> None:
        """Stores next vectors. Raises InvalidStoredVector, ModelReplaced."""
        await _write(self._connection, vectors, embedder)

    async def swap(self, embedder: Embedder) -> None:
        """Puts the next column, index and model in the place of the current ones: names change, no row does.

        Raises ModelReplaced if the next model is not the embedder's.
        """
        await _require_next(self._connection, embedder)
        run = self._connection.execute
        await _lock(self._connection, _KEEP_EVERYBODY_AWAY)
        statements = [
            DROP_SIGNS_TRIGGER,
            # With the old index and checks, and with the index of what is missing.
            f"ALTER TABLE traces {_dropped((*_RENAMED, 'next_embedding_revision'))}",
            *(f"ALTER TABLE traces RENAME COLUMN next_{name} TO {name}" for name in _RENAMED),
            *(f"ALTER TABLE traces RENAME CONSTRAINT ck_traces_next_{name} TO ck_traces_{name}" for name in _CHECKS),
            f"ALTER INDEX {_NEXT_INDEX} RENAME TO {VECTOR_INDEX_NAME}",
            CREATE_SIGNS_TRIGGER,
            "ALTER TABLE trace_signs DROP COLUMN signs",
            "ALTER TABLE trace_signs RENAME COLUMN next_signs TO signs",
            "DELETE FROM embedding_models WHERE is_current",
            "UPDATE embedding_models SET is_current = true",
            # Every trace has its vector now.
            "DELETE FROM encoding_jobs",
        ]
        for statement in statements:
            await run(text(statement))


async def _lock(connection: AsyncConnection, *statements: str) -> None:
    for statement in statements:
        if statement != _KEEP_VACUUM_AWAY:
            await connection.execute(text(_IMPATIENT))
        await connection.execute(text(statement))


async def _missing(connection: AsyncConnection, size: int) -> list[Unencoded]:
    return [Unencoded._make(row) for row in await connection.execute(_MISSING, {"size": size})]


async def _write(connection: AsyncConnection, vectors: Mapping[Unencoded, Vector], embedder: Embedder) -> None:
    model = {"model_id": embedder.model_id, "model_version": embedder.model_version}
    # By id, as everybody who changes several traces does: nobody waits in a circle.
    rows = sorted(vectors.items(), key=lambda item: item[0].id)
    await connection.execute(
        _WRITE,
        [{"of_trace": trace.id, "of_revision": trace.revision, "vector": vector, **model} for trace, vector in rows],
    )
    # Behind the locks of the update: whoever gave this model up meanwhile is seen.
    await _require_next(connection, embedder)


async def _require_next(connection: AsyncConnection, embedder: Embedder) -> None:
    upcoming = await EmbeddingModelRepository(connection).next()
    if upcoming is None or not upcoming.made_by(embedder):
        raise ModelReplaced("the database is no longer being moved to this model: another process has seen to that")


def _dropped(columns: Sequence[str]) -> str:
    return ", ".join(f"DROP COLUMN {name}" for name in columns)
