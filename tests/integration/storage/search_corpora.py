"""Databases of many traces around fifty subjects, and what a search of them should find."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import NDArray

from commontrace.domain.search.neighbours import Neighbour
from commontrace.embeddings.embedder import Vector
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import engines, vector_type

MODEL = LexicalEmbedder(384)
RARE = 200
"""One trace of so many has the agent model `rare`."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A database of traces around fifty subjects; `vectors` has shape (traces, 384) and unit rows."""

    url: str
    ids: list[UUID]
    vectors: NDArray[np.float32]

    def query(self, number: int) -> Vector:
        """Something near the trace of that number."""
        noise = np.random.default_rng(number).standard_normal(384)
        return unit(self.vectors[number % len(self.ids)] + 0.03 * noise)

    def nearest(self, query: Vector, limit: int) -> list[Neighbour]:
        """By brute force."""
        distances = 1.0 - self.vectors @ query
        return [Neighbour(self.ids[index], float(distances[index])) for index in np.argsort(distances)[:limit]]


def order(neighbour: Neighbour) -> tuple[float, UUID]:
    return neighbour.distance, neighbour.trace_id


def ids_of(neighbours: list[Neighbour]) -> list[UUID]:
    return [neighbour.trace_id for neighbour in neighbours]


def recall(found: list[Neighbour], wanted: list[Neighbour]) -> float:
    return len({*ids_of(found)} & {*ids_of(wanted)}) / len(wanted)


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    units: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)
    return units


def clustered(count: int) -> NDArray[np.float32]:
    random = np.random.default_rng(count)
    subjects = random.standard_normal((50, 384))
    return unit(subjects[random.integers(0, 50, count)] + 0.7 * random.standard_normal((count, 384)))


async def insert(
    url: str,
    vectors: NDArray[np.float32],
    columns: Mapping[str, Sequence[Any]] | None = None,
    tags: Mapping[UUID, Sequence[int]] | None = None,
) -> Corpus:
    """Copies traces in and then builds the index: a tenth of the time of inserting into it.

    `columns` are values by trace; `tags` tells which traces have which tag.
    """
    corpus = Corpus(url=url, ids=[uuid4() for _ in vectors], vectors=vectors)
    tags = tags or {}
    engine = engines.unpooled(url)
    async with engine.connect() as connection:
        asyncpg: Any = (await connection.get_raw_connection()).driver_connection
        await vector_type.register(asyncpg)
        definition = await asyncpg.fetchval("SELECT pg_get_indexdef('ix_traces_embedding_hnsw'::regclass)")
        await asyncpg.execute("DROP INDEX ix_traces_embedding_hnsw")
        await asyncpg.execute("INSERT INTO users (id, email) VALUES ($1, 'ada@example.org')", corpus.ids[0])
        facts = {
            "title": "title",
            "context_text": "context " * 30,
            "solution_text": "solution " * 60,
            "contributor_id": corpus.ids[0],
            "embedding_model_id": MODEL.model_id,
            "embedding_model_version": MODEL.model_version,
        }
        columns = columns or {"agent_model": ["" if number % RARE else "rare" for number in range(len(vectors))]}
        await asyncpg.copy_records_to_table(
            "traces",
            columns=["id", "embedding", *columns, *facts],
            records=[(*row, *facts.values()) for row in zip(corpus.ids, vectors, *columns.values(), strict=True)],
        )
        await asyncpg.executemany("INSERT INTO tags (id, name) VALUES ($1, $2)", [(tag, str(tag)) for tag in tags])
        await asyncpg.copy_records_to_table(
            "trace_tags",
            columns=["trace_id", "tag_id"],
            records=[(corpus.ids[number], tag) for tag, numbers in tags.items() for number in numbers],
        )
        await asyncpg.execute("SET maintenance_work_mem = '256MB'")
        await asyncpg.execute(definition)
    await engine.dispose()
    return corpus
