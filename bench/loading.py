"""Fills a database with a corpus, as fast as Postgres takes it."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

import asyncpg
import numpy as np
from numpy.typing import NDArray

from bench import corpus, narrowing
from commontrace.embeddings.embedder import Embedder
from commontrace.storage import vector_type
from commontrace.storage.models import VECTOR_INDEX_NAME

# As the manual advises for building: the graph of a corpus fits.
_BUILD_MEMORY = "1GB"
_DIFFERENT_TEXTS = 500
# One after the other, as they are contributed.
_FIRST, _A_SECOND = datetime(2026, 1, 1, tzinfo=UTC), timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """Duration of loading in seconds, and sizes of table and index in bytes."""

    copy_seconds: float
    index_seconds: float
    table_bytes: int
    """Rows with their long texts and vectors."""
    vector_index_bytes: int


async def load(
    dsn: str, embeddings: NDArray[np.float32], embedder: Embedder, *, first: int = 0, last: int | None = None
) -> Loaded:
    """Copies one trace a vector, from the first on, into a migrated database and then builds the vector index.

    Trace `n` has the vector of row `n` and a title that ends with `n`.
    """
    connection = await asyncpg.connect(dsn)
    try:
        await vector_type.register(connection)
        definition = await connection.fetchval("SELECT pg_get_indexdef($1::regclass)", VECTOR_INDEX_NAME)
        await connection.execute(f"DROP INDEX {VECTOR_INDEX_NAME}")
        started = time.perf_counter()
        await _copy(connection, embeddings, embedder, range(first, len(embeddings) if last is None else last))
        copied = time.perf_counter()
        await connection.execute(f"SET maintenance_work_mem = '{_BUILD_MEMORY}'")
        await connection.execute(definition)
        built = time.perf_counter()
        # What Postgres would else do while searches are measured.
        await connection.execute("VACUUM (ANALYZE)")
        await connection.execute("CHECKPOINT")
        return Loaded(
            copy_seconds=copied - started,
            index_seconds=built - copied,
            table_bytes=await connection.fetchval("SELECT pg_table_size('traces')"),
            vector_index_bytes=await connection.fetchval("SELECT pg_relation_size($1::regclass)", VECTOR_INDEX_NAME),
        )
    finally:
        await connection.close()


async def _copy(
    connection: asyncpg.Connection, embeddings: NDArray[np.float32], embedder: Embedder, numbers: range
) -> None:
    ids = [uuid4() for _ in numbers]
    tags = {name: uuid5(narrowing.USER, name) for name in (*corpus.TAGS, *corpus.SHARES)}
    if numbers.start == 0:
        await connection.copy_records_to_table(
            "users",
            records=[(narrowing.contributor(part), f"{part or 'bench'}@example.org") for part in ("", *corpus.SHARES)],
            columns=("id", "email"),
        )
        await connection.copy_records_to_table(
            "namespaces",
            records=[(narrowing.namespace_id(name), name, "open") for name in narrowing.NAMESPACES],
            columns=("id", "name", "visibility"),
        )
        await connection.copy_records_to_table(
            "tags", records=[(tag_id, name) for name, tag_id in tags.items()], columns=("id", "name")
        )
    same: dict[str, Any] = {
        "embedding_model_id": embedder.model_id,
        "embedding_model_version": embedder.model_version,
    }
    columns = ("id", "embedding", "title", "context_text", "solution_text", "created_at")
    parts = ("agent_model", "contributor_id", "status", "namespace_id")
    await connection.copy_records_to_table(
        "traces",
        records=((*row, *same.values()) for row in _rows(ids, embeddings, numbers)),
        columns=(*columns, *parts, *same),
    )
    await connection.copy_records_to_table(
        "trace_tags", records=_pairs(ids, tags, numbers, len(embeddings)), columns=("trace_id", "tag_id")
    )


def _rows(ids: list[UUID], embeddings: NDArray[np.float32], numbers: range) -> Iterator[tuple[Any, ...]]:
    texts, count = corpus.texts(_DIFFERENT_TEXTS), len(embeddings)
    models, contributors, statuses, namespaces = (
        narrowing.parts(field, count)
        for field in (narrowing.AGENT_MODEL, narrowing.CONTRIBUTOR, narrowing.STATUS, narrowing.NAMESPACE)
    )
    for number, trace_id in zip(numbers, ids, strict=True):
        context, solution = texts[number % len(texts)], texts[(7 * number + 1) % len(texts)]
        title, created_at = f"Synthetic trace {number}", _FIRST + number * _A_SECOND
        contributor = narrowing.contributor(contributors[number])
        status = "validated" if statuses[number] == narrowing.VALIDATED else "pending"
        yield (
            *(trace_id, embeddings[number], title, context, solution, created_at),
            *(models[number], contributor, status, narrowing.namespace_id(namespaces[number])),
        )


def _pairs(ids: list[UUID], tags: Mapping[str, UUID], numbers: range, count: int) -> Iterator[tuple[UUID, UUID]]:
    parts = narrowing.parts(narrowing.TAG, count)
    for number, trace_id in zip(numbers, ids, strict=True):
        for name in narrowing.tags(number, parts[number]):
            yield trace_id, tags[name]
