"""Comparison of vector indexes: `python -m bench.index_choice`, in a database of its own.

Halves, whose candidates are re-ranked by the full vectors, or these alone (ADR 0062). Both are asked by raw asyncpg, so
that the ratio is Postgres's own. `BENCH_TRACES`, `BENCH_LARGE`, `BENCH_DIMENSIONS`, `BENCH_SECONDS` and
`BENCH_QUERIES` hold here, too.
"""

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import asyncpg
import numpy as np
import uvloop
from numpy.typing import NDArray

from bench import corpora, corpus, loading
from bench.parameters import LIMIT, Parameters, read_parameters
from bench.recall import number_of
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import engines, migrations, vector_type
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from commontrace.storage.models.vector_index import VECTOR_INDEX_NAME, definition_sql, halves_sql
from commontrace.storage.search.neighbours import candidate_count

_CALLERS = (1, 16)
_EF_SEARCH = (40, 64, 100)
_LIMITS = (3, 5, LIMIT)
_INSERTED = 500
_INSERT = """
    INSERT INTO traces (id, title, context_text, solution_text, contributor_id, embedding, embedding_model_id,
        embedding_model_version)
    SELECT gen_random_uuid(), 'Inserted trace 0', '', '', contributor_id, $1, embedding_model_id,
        embedding_model_version
    FROM traces LIMIT 1"""
_BUILD = "SET maintenance_work_mem = '1GB'"


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """A vector index and the search that goes by it: `distance` orders candidates, which halves have re-ranked."""

    name: str
    definition: str
    distance: str

    def search(self, limit: int, ef_search: int) -> str:
        """Returns the statement: $1 is the vector."""
        candidates = (
            "SELECT title, embedding <=> $1 AS distance FROM traces"  # noqa: S608 - our own
            f" WHERE deleted_at IS NULL ORDER BY {self.distance}"
        )
        if self.name == "vector":
            return f"{candidates} LIMIT {limit}"
        return (
            f"WITH candidates AS MATERIALIZED ({candidates} LIMIT {candidate_count(limit, ef_search=ef_search)})"  # noqa: S608 - our own
            f" SELECT title FROM candidates ORDER BY distance LIMIT {limit}"
        )


def indexes(dimensions: int) -> list[Index]:
    """Returns what is compared, first the index that a database has."""
    half = halves_sql("embedding", dimensions)
    return [
        Index(
            name="halfvec",
            definition=definition_sql("embedding", dimensions),
            distance=f"{half} <=> (SELECT $1::vector::halfvec({dimensions}))",
        ),
        Index(
            name="vector",
            definition="USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 64)",
            distance="embedding <=> $1",
        ),
    ]


async def measure(dsn: str, index: Index, parameters: Parameters, size: int, built: float | None) -> None:
    """Builds the index, unless it was built in so many seconds, prints what it is like, and drops it."""
    embeddings = corpus.vectors(size, parameters.dimensions, seed=2)
    queries = corpus.vectors(parameters.queries, parameters.dimensions, seed=3)
    nearest = np.argsort(-(queries @ embeddings.T), axis=1)
    connection = await asyncpg.connect(dsn)
    await vector_type.register(connection)
    await connection.execute(_BUILD)
    if built is None:
        begun = time.perf_counter()
        await connection.execute(f"CREATE INDEX {VECTOR_INDEX_NAME} ON traces {index.definition}")
        built = time.perf_counter() - begun
        await connection.execute("VACUUM ANALYZE traces")
    size_mb = await connection.fetchval("SELECT pg_relation_size($1::regclass) / 1e6", VECTOR_INDEX_NAME)
    print(f"\n{index.name}, {size} traces: built in {built:.1f} s, {size_mb:.0f} MB")
    async with AsyncExitStack() as opened:
        idle = []
        for _ in range(max(_CALLERS)):
            settings = engines.SESSION_SETTINGS | engines.SEARCH_SETTINGS
            one = await asyncpg.connect(dsn, server_settings=settings)
            opened.push_async_callback(one.close)
            await vector_type.register(one)
            idle.append(one)
        for ef_search in _EF_SEARCH:
            for one in idle:
                await one.execute(f"SET hnsw.ef_search = {ef_search}")
            search = index.search(LIMIT, ef_search)
            rates = [await _rate(idle[:callers], search, queries, parameters.seconds) for callers in _CALLERS]
            recalls = []
            for limit in _LIMITS:
                hit = 0
                for query, wanted in zip(queries, nearest, strict=True):
                    rows = await idle[0].fetch(index.search(limit, ef_search), query)
                    hit += len({number_of(row["title"]) for row in rows} & {*wanted[:limit].tolist()})
                recalls.append(f"recall@{limit} {hit / (limit * len(queries)):.4f}")
            print(f"  ef_search {ef_search:3}: {', '.join(recalls)}, {rates[0]:.0f}/s by 1, {rates[1]:.0f}/s by 16")
    inserted = corpus.vectors(_INSERTED, parameters.dimensions, seed=6)
    begun = time.perf_counter()
    await connection.executemany(_INSERT, [(vector,) for vector in inserted])
    print(f"  inserts: {_INSERTED / (time.perf_counter() - begun):.0f}/s")
    await connection.execute("DELETE FROM traces WHERE title = 'Inserted trace 0' AND context_text = ''")
    await connection.execute(f"DROP INDEX {VECTOR_INDEX_NAME}")
    await connection.close()


async def _rate(
    connections: list[asyncpg.Connection], statement: str, queries: NDArray[np.float32], seconds: float
) -> float:
    numbers = count()
    end = time.perf_counter() + seconds

    async def ask(connection: asyncpg.Connection) -> int:
        done = 0
        while time.perf_counter() < end:
            await connection.fetch(statement, queries[next(numbers) % len(queries)])
            done += 1
        return done

    # Prepared, planned and warm before it counts.
    await asyncio.gather(*(connection.fetch(statement, queries[0]) for connection in connections))
    return sum(await asyncio.gather(*map(ask, connections))) / seconds


async def main() -> None:
    """Compares the indexes at two sizes."""
    parameters = read_parameters()
    embedder = LexicalEmbedder(parameters.dimensions)
    with tempfile.TemporaryDirectory() as place, embedded_postgres.start(Path(place) / "data") as postgres:
        for size in sorted({parameters.traces, parameters.large}):
            async with corpora.database(postgres.url) as url:
                await migrations.upgrade(url, embedder)
                dsn = corpora.dsn_of(url)
                embeddings = corpus.vectors(size, parameters.dimensions, seed=2)
                loaded = await loading.load(dsn, embeddings, embedder)
                current, other = indexes(parameters.dimensions)
                await measure(dsn, current, parameters, size, loaded.index_seconds)
                await measure(dsn, other, parameters, size, None)


if __name__ == "__main__":
    uvloop.run(main())
