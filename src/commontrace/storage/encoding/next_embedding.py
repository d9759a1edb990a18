"""Next embedding: the second vector column, which exists while a database is re-encoded (ADR 0020).

No statement of a server names these columns. A row is missing its next vector while `next_embedding_revision` is not
its revision: every change of its text makes a new revision.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Integer, String, Uuid, bindparam, cast, column, func, table, text, update
from sqlalchemy.dialects.postgresql import BIT
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.domain.errors import ModelReplaced
from commontrace.embeddings.embedder import Embedder, Embedding
from commontrace.storage.encoding.models import EmbeddingModelReader
from commontrace.storage.search.trace_tokens import TokensOfRevision, save_tokens
from commontrace.storage.vector_type import VectorType

NO_NEXT_MODEL = "the database is no longer being moved to this model: another process has seen to that"

IS_MISSING = "next_embedding_revision IS DISTINCT FROM revision"
NEXT_INDEX = "ix_traces_next_embedding_hnsw"
CHECKS = {
    "embedding_norm": "vector_norm(next_embedding) BETWEEN 0.999 AND 1.001",
    "embedding_model": "(next_embedding IS NULL) = (next_embedding_model_id IS NULL)"
    " AND (next_embedding IS NULL) = (next_embedding_model_version IS NULL)",
}
RENAMED = ("embedding", "embedding_model_id", "embedding_model_version")
COLUMNS = (*(f"next_{name}" for name in RENAMED), "next_embedding_revision")

_TEXTS = ("title", "context_text", "solution_text")
WINDOW = text(f"""
    SELECT id, revision, {IS_MISSING} AS is_missing,
        {", ".join(f"CASE WHEN {IS_MISSING} THEN {name} END AS {name}" for name in _TEXTS)}
    FROM traces WHERE id > :after ORDER BY id LIMIT :size""").bindparams(bindparam("after", type_=Uuid))  # noqa: S608 - our own names
_MISSING = text(f"SELECT id, revision, {', '.join(_TEXTS)} FROM traces WHERE {IS_MISSING} ORDER BY id LIMIT :size")  # noqa: S608
COUNTS = f"SELECT count(*) AS total, count(*) FILTER (WHERE NOT {IS_MISSING}) AS done FROM traces"  # noqa: S608

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


class UnencodedTrace(NamedTuple):
    """A trace whose next vector is missing, or belongs to an earlier revision."""

    id: UUID
    revision: int
    title: str
    context: str
    solution: str


async def list_missing(connection: AsyncConnection, size: int) -> list[UnencodedTrace]:
    """Returns up to `size` traces that are missing their next vector, by id."""
    return [UnencodedTrace._make(row) for row in await connection.execute(_MISSING, {"size": size})]


async def save_embeddings(
    connection: AsyncConnection, embeddings: Mapping[UnencodedTrace, Embedding], embedder: Embedder
) -> None:
    """Stores next vectors and their tokens, except of texts that have changed since.

    Raises InvalidStoredVector, ModelReplaced.
    """
    model = {"model_id": embedder.model_id, "model_version": embedder.model_version}
    # By id, as in every transaction that changes several traces: they wait instead of deadlocking.
    rows = sorted(embeddings.items(), key=lambda item: item[0].id)
    await connection.execute(
        _WRITE,
        [
            {"of_trace": trace.id, "of_revision": trace.revision, "vector": embedding.vector, **model}
            for trace, embedding in rows
        ],
    )
    tokens = [TokensOfRevision(trace.id, trace.revision, embedding.token_signs) for trace, embedding in rows]
    await save_tokens(connection, tokens, model_version=embedder.model_version)
    # After the locks of the update: a cancellation of the re-encoding meanwhile is visible now.
    await require_next(connection, embedder)


async def require_next(connection: AsyncConnection, embedder: Embedder) -> None:
    """Raises ModelReplaced unless the embedder's model is the next model."""
    upcoming = await EmbeddingModelReader(connection).get_next()
    if upcoming is None or not upcoming.made_by(embedder):
        raise ModelReplaced(NO_NEXT_MODEL)


def drop_columns(columns: Sequence[str]) -> str:
    """Returns the actions of ALTER TABLE that drop columns, with their indexes and checks."""
    return ", ".join(f"DROP COLUMN {name}" for name in columns)
