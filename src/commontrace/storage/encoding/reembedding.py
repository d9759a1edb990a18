"""Re-encoding: steps that move a database to another embedding model while servers use the current one (ADR 0020)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.domain.errors import ModelReplaced
from commontrace.embeddings.embedder import Embedder, Embedding
from commontrace.embeddings.model import RecordedModel
from commontrace.storage import engines
from commontrace.storage.encoding.cutover import Cutover
from commontrace.storage.encoding.models import EmbeddingModelReader, insert_model
from commontrace.storage.encoding.next_embedding import (
    CHECKS,
    COLUMNS,
    COUNTS,
    IS_MISSING,
    NEXT_INDEX,
    NO_NEXT_MODEL,
    WINDOW,
    UnencodedTrace,
    drop_columns,
    list_missing,
    save_embeddings,
)
from commontrace.storage.encoding.reembedding_lock import UNLIMITED_SETTINGS
from commontrace.storage.encoding.table_locks import EXCLUDE_ALL, EXCLUDE_VACUUM, EXCLUDE_WRITERS, lock
from commontrace.storage.error_mapping import translate_contention, translate_errors
from commontrace.storage.models.vector_index import definition_sql, halves_sql
from commontrace.storage.search.trace_tokens import delete_tokens_of_others

# Without sequential scans: the planner might read every row to find the few that are missing their vector.
_SETTINGS = engines.SESSION_SETTINGS | {"application_name": "commontrace-reembed", "enable_seqscan": "off"}

_TOKENS_AT_ONCE = 1_000

_MISSING_INDEX = "ix_traces_next_embedding_missing"


class _Index(NamedTuple):
    """An index to build: its name, what it holds as Postgres prints it, and its definition."""

    name: str
    held: str
    definition: str


def _indexes(dimensions: int) -> tuple[_Index, ...]:
    return (
        _Index(NEXT_INDEX, halves_sql("next_embedding", dimensions), definition_sql("next_embedding", dimensions)),
        # Built last: with it, no update of an encoded row would be HOT, and each would add to the current vector index.
        _Index(_MISSING_INDEX, "id", f"(id) WHERE {IS_MISSING}"),
    )


class Reembedding:
    """Steps of re-encoding. Each may be interrupted at any point, and repeated.

    Opens no connection when it is made. Each method raises DatabaseUnavailable, and Busy if another transaction holds a
    lock that it needs: nothing has changed then.
    """

    def __init__(self, url: str) -> None:
        self._engine = engines.pooled(url, _SETTINGS, size=1, timeout=10.0)
        self._unlimited = engines.unpooled(url, UNLIMITED_SETTINGS)

    async def close(self) -> None:
        """Closes every connection."""
        await self._engine.dispose()
        await self._unlimited.dispose()

    async def get_models(self) -> tuple[RecordedModel, RecordedModel | None]:
        """Returns the current model and the next one, None if there is none."""
        async with self._transaction() as connection:
            return await EmbeddingModelReader(connection).get_current_and_next()

    async def start(self, embedder: Embedder) -> None:
        """Adds the columns and records the next model."""
        columns = (f"vector({embedder.dimensions:d})", "varchar", "varchar", "integer")
        added = [f"ADD COLUMN {name} {kind}" for name, kind in zip(COLUMNS, columns, strict=True)]
        # NOT VALID: `validate` checks the rows later, without the lock.
        checks = [f"ADD CONSTRAINT ck_traces_next_{name} CHECK ({rule}) NOT VALID" for name, rule in CHECKS.items()]
        async with self._transaction() as connection:
            await lock(connection, EXCLUDE_VACUUM, EXCLUDE_ALL)
            await connection.execute(text(f"ALTER TABLE traces {', '.join([*added, *checks])}"))
            await connection.execute(text("ALTER TABLE trace_signs ADD COLUMN next_signs bit varying STORAGE PLAIN"))
            await connection.execute(insert_model(embedder, is_current=False))

    async def validate(self) -> None:
        """Validates the checks of every row, without excluding calls."""
        for name in CHECKS:
            await self._run(f"ALTER TABLE traces VALIDATE CONSTRAINT ck_traces_next_{name}")

    async def count_done(self) -> tuple[int, int]:
        """Returns the number of traces that have their next vector, and of all, deleted ones too."""
        [row] = await self._run(COUNTS)
        return row.done, row.total

    async def count_traces(self) -> int:
        """Returns the number of traces, deleted ones too."""
        [row] = await self._run("SELECT count(*) AS total FROM traces")
        return int(row.total)

    async def list_window(self, after: UUID | None, size: int) -> tuple[list[UnencodedTrace], UUID | None]:
        """Scans the next `size` traces by id; returns those missing their vector, and the last id, None at the end."""
        async with self._transaction() as connection:
            rows = (await connection.execute(WINDOW, {"after": after or UUID(int=0), "size": size})).all()
        missing = [
            UnencodedTrace(row.id, row.revision, row.title, row.context_text, row.solution_text)
            for row in rows
            if row.is_missing
        ]
        return missing, rows[-1].id if rows else None

    async def list_missing(self, size: int) -> list[UnencodedTrace]:
        """Returns up to `size` traces that are missing their next vector. Needs the indexes."""
        async with self._transaction() as connection:
            return await list_missing(connection, size)

    async def save_embeddings(self, embeddings: Mapping[UnencodedTrace, Embedding], embedder: Embedder) -> None:
        """Stores next vectors and their tokens, except of texts that have changed since.

        Raises InvalidStoredVector, ModelReplaced.
        """
        async with self._transaction() as connection:
            await save_embeddings(connection, embeddings, embedder)

    async def build_indexes(self) -> None:
        """Builds the indexes that are missing, invalid or of another kind, CONCURRENTLY. Raises ModelReplaced."""
        _, upcoming = await self.get_models()
        if upcoming is None:
            raise ModelReplaced(NO_NEXT_MODEL)
        for index in _indexes(upcoming.dimensions):
            found = await self._run(
                f"SELECT indisvalid, pg_get_indexdef(indexrelid, 1, true) FROM pg_index"  # noqa: S608 - our own names
                f" WHERE indexrelid = to_regclass('{index.name}')"
            )
            if [tuple(row) for row in found] == [(True, index.held)]:
                continue
            await self._run(f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}")
            await self._run(f"CREATE INDEX CONCURRENTLY {index.name} ON traces {index.definition}")

    @asynccontextmanager
    async def cutover(self) -> AsyncIterator[Cutover]:
        """Excludes writers of traces while the block runs; searches continue. Leaving the block commits."""
        async with self._transaction() as connection:
            await lock(connection, EXCLUDE_VACUUM, EXCLUDE_WRITERS)
            yield Cutover(connection)

    async def cancel(self) -> None:
        """Drops the columns and the record of the next model."""
        async with self._transaction() as connection:
            await lock(connection, EXCLUDE_VACUUM, EXCLUDE_ALL)
            await connection.execute(text(f"ALTER TABLE traces {drop_columns(COLUMNS)}"))
            await connection.execute(text("ALTER TABLE trace_signs DROP COLUMN next_signs"))
            await connection.execute(text("DELETE FROM embedding_models WHERE NOT is_current"))

    async def delete_unused_tokens(self) -> None:
        """Deletes the tokens of models that are neither the current nor the next one."""
        last: UUID | None = UUID(int=0)
        while last is not None:
            async with self._transaction() as connection:
                current, upcoming = await EmbeddingModelReader(connection).get_current_and_next()
                versions = [model.model_version for model in (current, upcoming) if model is not None]
                last = await delete_tokens_of_others(connection, versions, after=last, limit=_TOKENS_AT_ONCE)

    async def analyze(self) -> None:
        """Updates the planner's statistics for the new column."""
        await self._run("ANALYZE traces")

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        with translate_errors(), translate_contention():
            async with self._engine.begin() as connection:
                yield connection

    async def _run(self, statement: str) -> Sequence[Any]:
        with translate_errors(), translate_contention():
            async with self._unlimited.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                result = await connection.execute(text(statement))
                return result.all() if result.returns_rows else ()
