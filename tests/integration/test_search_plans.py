"""What the server's own search statements do in databases of 12, 1,000 and 5,000 traces."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import text

from commontrace.core.searching import Found, Query, StopReason, find
from commontrace.embeddings.embedder import Vector
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.embeddings.query_cache import QueryCache
from commontrace.storage import engines, vector_type
from commontrace.storage.database import Database
from commontrace.storage.trace_search import APPROXIMATE, Neighbour, approximate_parameters
from commontrace.storage.unit_of_work import Reading
from tests.conftest import administer, url_of

MODEL = LexicalEmbedder(384)
SIZES = (12, 1000, 5000)


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


async def insert(url: str, vectors: NDArray[np.float32]) -> Corpus:
    """Copies traces in and then builds the index: a tenth of the time of inserting into it."""
    corpus = Corpus(url=url, ids=[uuid4() for _ in vectors], vectors=vectors)
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
        await asyncpg.copy_records_to_table(
            "traces",
            columns=["id", "embedding", *facts],
            records=[(*row, *facts.values()) for row in zip(corpus.ids, vectors, strict=True)],
        )
        await asyncpg.execute(definition)
    await engine.dispose()
    return corpus


@pytest.fixture(scope="module")
def corpora(postgres_url: str, template: str) -> Iterator[dict[int, Corpus]]:
    corpora = {}
    for size in SIZES:
        asyncio.run(administer(postgres_url, f"CREATE DATABASE corpus_{size} TEMPLATE {template}"))
        corpora[size] = asyncio.run(insert(url_of(postgres_url, f"corpus_{size}"), clustered(size)))
    yield corpora
    for size in SIZES:
        asyncio.run(administer(postgres_url, f"DROP DATABASE corpus_{size} WITH (FORCE)"))


@pytest.fixture(params=SIZES)
def corpus(request: pytest.FixtureRequest, corpora: dict[int, Corpus]) -> Corpus:
    """Shared: tests only read it."""
    return corpora[request.param]


@pytest.fixture
async def populated(corpus: Corpus) -> AsyncIterator[Database]:
    database = Database(corpus.url)
    yield database
    await database.close()


async def run(reading: Reading, sql: str, **parameters: Any) -> Any:
    # Questions ask repositories; these tests ask the connection behind them.
    return (await reading.search._connection.execute(text(sql), parameters)).scalar()


async def found(query: Query, limit: int, database: Database) -> Found:
    return await find(query, limit, database=database, queries=QueryCache(MODEL))


async def approximate(reading: Reading, query: Vector, *, limit: int, ef_search: int = 64) -> list[Neighbour]:
    return await reading.search.approximate(query, model_id=MODEL.model_id, limit=limit, ef_search=ef_search)


async def compare_all(reading: Reading, query: Vector, limit: int) -> list[Neighbour]:
    return await reading.search.exact(query, model_id=MODEL.model_id, limit=limit)


async def explain(reading: Reading, query: Vector, limit: int) -> str:
    connection = reading.search._connection
    compiled = APPROXIMATE.compile(dialect=connection.dialect)
    given = compiled.params | approximate_parameters(
        query, model_id=MODEL.model_id, limit=limit, ef_search=64, excluded=None
    )
    parameters = tuple(given[name] for name in compiled.positiontup or ())
    plan = await connection.exec_driver_sql(f"EXPLAIN (COSTS OFF) {compiled}", parameters)
    return "\n".join(plan.scalars())


async def test_the_planner_stays_on_the_index(corpus: Corpus, populated: Database) -> None:
    for statistics in ("none", "fresh"):
        if statistics == "fresh":
            await administer(corpus.url, "ANALYZE")
        for limit in (1, 10, 100, 1000):
            plan = await populated.search(partial(explain, query=corpus.query(0), limit=limit))
            assert "Index Scan using ix_traces_embedding_hnsw on traces" in plan, (statistics, limit, plan)
            assert "Seq Scan" not in plan
            assert "Sort" not in plan


async def test_so_does_the_plan_that_postgres_keeps(corpus: Corpus, populated: Database) -> None:
    # After five executions Postgres may turn to one plan for all parameters.
    scans = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'ix_traces_embedding_hnsw'"

    async def search_often(reading: Reading) -> None:
        for number in range(12):
            await approximate(reading, corpus.query(number), limit=10 * number + 1)
        await run(reading, "SELECT pg_stat_force_next_flush()")

    before = await populated.read(lambda reading: run(reading, scans))
    await populated.search(search_often)
    assert await populated.read(lambda reading: run(reading, scans)) == before + 12


@pytest.mark.parametrize("limit", [1, 10, 50, 1000])
async def test_never_short_and_in_order(corpus: Corpus, populated: Database, limit: int) -> None:
    count = min(limit, len(corpus.ids))
    for number in range(5):
        answer = await found(corpus.query(number), limit, populated)
        assert len({*ids_of(answer.neighbours)}) == len(answer.neighbours) == count
        assert answer.neighbours == sorted(answer.neighbours, key=order)
        assert answer.exact or count == limit
        assert answer.stop_reason is (StopReason.EXHAUSTED if count < limit else StopReason.LIMIT)


@pytest.mark.parametrize("limit", [1, 10, 1000])
async def test_exact_answers_agree_with_numpy(corpus: Corpus, populated: Database, limit: int) -> None:
    query = corpus.query(1)
    exact = await populated.read(partial(compare_all, query=query, limit=limit))
    answer = await found(query, limit, populated)
    assert not answer.exact or answer.neighbours == exact

    every = corpus.nearest(query, len(corpus.ids))
    assert [neighbour.distance for neighbour in exact] == pytest.approx(
        [neighbour.distance for neighbour in every[:limit]], abs=1e-6
    )
    # Postgres computes in single precision: those that close may change places.
    distances = dict(every)
    assert [neighbour.distance for neighbour in exact] == pytest.approx(
        [distances[trace_id] for trace_id in ids_of(exact)], abs=1e-6
    )
    assert exact == sorted(exact, key=order)


async def test_a_trace_is_not_found_by_its_own_id(corpus: Corpus, populated: Database) -> None:
    for limit in (1, 10, 1000):
        answer = await found(corpus.ids[3], limit, populated)
        assert len(answer.neighbours) == min(limit, len(corpus.ids) - 1)
        assert corpus.ids[3] not in ids_of(answer.neighbours)


async def test_the_index_finds_nine_of_ten(corpora: dict[int, Corpus]) -> None:
    corpus = corpora[5000]
    database = Database(corpus.url)
    recalls = []
    for number in range(0, 5000, 100):
        answer = await found(corpus.query(number), 10, database)
        assert not answer.exact
        recalls.append(recall(answer.neighbours, corpus.nearest(corpus.query(number), 10)))
    await database.close()
    assert np.mean(recalls) >= 0.9


async def test_ef_search_is_in_force_for_its_statement_only(corpora: dict[int, Corpus]) -> None:
    corpus = corpora[5000]
    # Far from every subject, where the index has a hard time.
    queries = [unit(np.random.default_rng(number).standard_normal(384)) for number in range(20)]

    async def mean_recall(reading: Reading, ef_search: int) -> float:
        recalls = []
        for query in queries:
            assert await run(reading, "SHOW hnsw.ef_search") == "40"
            neighbours = await approximate(reading, query, limit=10, ef_search=ef_search)
            recalls.append(recall(neighbours, corpus.nearest(query, 10)))
        return float(np.mean(recalls))

    database = Database(corpus.url, pool_size=1)
    few, many = [await database.search(partial(mean_recall, ef_search=ef_search)) for ef_search in (10, 1000)]
    assert await database.search(lambda reading: run(reading, "SHOW hnsw.ef_search")) == "40"
    await database.close()
    assert few + 0.1 < many


async def test_search_connections_have_their_settings(database: Database) -> None:
    setting = "SELECT setting FROM pg_settings WHERE name = :name"
    for name, value in (engines.SESSION | engines.SEARCH).items():
        assert await database.search(partial(run, sql=setting, name=name)) == value
    for name, value in engines.SESSION.items():
        assert await database.read(partial(run, sql=setting, name=name)) == value


@pytest.mark.parametrize(
    "settings",
    [
        {"hnsw.iterative_scam": "relaxed_order"},
        {"hnsw.iterative_scan": "relaxed"},
        {"hnsw.ef_search": "1001"},
        {"application_name": "x" * 64},
    ],
)
async def test_a_setting_that_postgres_does_not_take_is_an_error(database_url: str, settings: dict[str, str]) -> None:
    engine = engines.pooled(database_url, settings, size=1, timeout=1)
    with pytest.raises(engines.SettingRefused, match=next(iter(settings))):
        await engine.connect()
    await engine.dispose()


async def test_deleted_traces_and_other_models_never_appear(database: Database, database_url: str) -> None:
    corpus = await insert(database_url, clustered(600))
    change = "UPDATE traces SET {} WHERE id = ANY(:ids) RETURNING id"
    delete, move = change.format("deleted_at = now()"), change.format("embedding_model_id = 'other'")
    await database.read(partial(run, sql=delete, ids=corpus.ids[:400]))
    await database.read(partial(run, sql=move, ids=corpus.ids[400:570]))
    for limit in (1, 10, 30, 31):
        for number in range(0, 600, 100):
            answer = await found(corpus.query(number), limit, database)
            assert len(answer.neighbours) == min(limit, 30)
            assert {*ids_of(answer.neighbours)} <= {*corpus.ids[570:]}


async def test_equal_vectors_come_in_the_order_of_their_ids(database: Database, database_url: str) -> None:
    vectors = clustered(100)
    vectors[20:70] = vectors[20]
    corpus = await insert(database_url, vectors)
    equal = sorted(corpus.ids[20:70])
    for limit in (1, 20, 50):
        exact = await database.read(partial(compare_all, query=vectors[20], limit=limit))
        assert ids_of(exact) == equal[:limit]
    answer = await found(vectors[20], 1000, database)
    assert answer.exact
    assert ids_of(answer.neighbours)[:50] == equal
