import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from sqlalchemy import bindparam, cast, select, text

from commontrace.core.errors import DatabaseUnavailable, InvalidStoredVector, Overloaded
from commontrace.core.traces import NewTrace
from commontrace.embeddings.embedder import Vector
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import engines, migrating
from commontrace.storage.database import Database, Question
from commontrace.storage.unit_of_work import Reading
from commontrace.storage.vector_type import VectorType
from tests.conftest import administer, url_of

EMAIL = "ada@example.org"
Ask = Callable[[Question[Any]], Awaitable[Any]]


def unit_vector(seed: int, dimensions: int = 384) -> Vector:
    vector = np.random.default_rng(seed).standard_normal(dimensions)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def a_trace(contributor_id: UUID, **changes: Any) -> NewTrace:
    trace = NewTrace(
        id=uuid4(),
        title="title",
        context="context",
        solution="solution",
        embedding=unit_vector(0),
        embedding_model_id="model",
        embedding_model_version="1",
        status="pending",
        contributor_id=contributor_id,
        agent_model="",
        agent_version="",
        metadata={},
        is_seed=False,
    )
    return replace(trace, **changes)


async def stored(database: Database, **changes: Any) -> UUID:
    async with database.unit_of_work() as work:
        trace = a_trace(await work.users.ensure(EMAIL), **changes)
        await work.traces.add(trace)
    return trace.id


async def run(reading: Reading, sql: str, **parameters: Any) -> Any:
    # Questions ask repositories; these tests ask the connection behind them.
    return (await reading.search._connection.execute(text(sql), parameters)).scalar()


async def knows(database: Database, email: str) -> bool:
    return await database.read(lambda reading: reading.users.id_of(email)) is not None


async def test_a_unit_of_work_commits_on_leaving(database: Database) -> None:
    async with database.unit_of_work() as work:
        await work.users.ensure(EMAIL)
        assert not await knows(database, EMAIL)
    assert await knows(database, EMAIL)


async def test_an_exception_rolls_back(database: Database) -> None:
    async def write_and_fail() -> None:
        async with database.unit_of_work() as work:
            await work.users.ensure(EMAIL)
            raise LookupError

    with pytest.raises(LookupError):
        await write_and_fail()
    assert not await knows(database, EMAIL)


async def test_cancellation_rolls_back(database: Database) -> None:
    written = asyncio.Event()

    async def write_and_wait() -> None:
        async with database.unit_of_work() as work:
            await work.users.ensure(EMAIL)
            written.set()
            await asyncio.Event().wait()

    writing = asyncio.create_task(write_and_wait())
    await written.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert not await knows(database, EMAIL)
    # The lock on the unique address is gone too.
    async with asyncio.timeout(1), database.unit_of_work() as work:
        await work.users.ensure(EMAIL)


@pytest.mark.parametrize("scale", [0.0, 0.99, 2.0])
async def test_a_violated_constraint_becomes_the_domains_error(database: Database, scale: float) -> None:
    with pytest.raises(InvalidStoredVector, match="ck_traces_embedding_norm"):
        await stored(database, embedding=unit_vector(0) * np.float32(scale))
    assert not await knows(database, EMAIL)


async def test_vectors_come_back_bit_for_bit(database: Database) -> None:
    bits = np.random.default_rng(1).integers(0, 2**32, (300, 384), dtype=np.uint32).view(np.float32)
    finite = np.where(np.isfinite(bits), bits, np.float32(-0.0))
    vectors = [*finite, unit_vector(2).astype(">f4"), unit_vector(2, 768)[::2], unit_vector(2, 1), unit_vector(2, 2000)]

    async def there_and_back(reading: Reading) -> list[Vector]:
        statements = [select(cast(bindparam("vector", vector, VectorType()), VectorType())) for vector in vectors]
        return [(await reading.search._connection.execute(statement)).scalar_one() for statement in statements]

    for vector, returned in zip(vectors, await database.read(there_and_back), strict=True):
        assert returned.dtype == np.float32
        assert returned.tobytes() == vector.astype(np.float32).tobytes()
    trace_id = await stored(database, embedding=unit_vector(3))
    embedding = await database.read(lambda reading: reading.traces.embedding_of(trace_id))
    assert embedding is not None
    assert embedding.tobytes() == unit_vector(3).tobytes()


async def test_the_extension_may_live_in_another_schema(empty_database_url: str) -> None:
    name = engines.postgres_url(empty_database_url).database
    for statement in (
        "CREATE SCHEMA extensions",
        "CREATE EXTENSION vector SCHEMA extensions",
        f"ALTER DATABASE {name} SET search_path = public, extensions",
    ):
        await administer(empty_database_url, statement)
    await migrating.upgrade(empty_database_url, LexicalEmbedder(384))
    database = Database(empty_database_url)
    trace_id = await stored(database, embedding=unit_vector(3))
    embedding = await database.read(lambda reading: reading.traces.embedding_of(trace_id))
    nearest = await database.search(
        lambda reading: reading.search.approximate(unit_vector(3), model_id="model", limit=1, ef_search=40)
    )
    await database.close()
    assert embedding is not None
    assert embedding.tobytes() == unit_vector(3).tobytes()
    assert [neighbour.trace_id for neighbour in nearest] == [trace_id]


async def test_many_first_uses_of_users_and_tags_at_once(database_url: str) -> None:
    database = Database(database_url, pool_size=30, pool_timeout=10)
    names = [f"tag-{number}" for number in range(10)]

    async def contribute(number: int) -> tuple[UUID, UUID]:
        tags = random.Random(number).sample(names, 8)  # noqa: S311 - every caller has an order of its own
        async with database.unit_of_work() as work:
            trace = a_trace(await work.users.ensure(EMAIL))
            await work.traces.add(trace)
            await work.tags.attach(trace.id, tags)
            assert (await work.traces.get_many([trace.id], full=True))[trace.id].tags == sorted(tags)
        return trace.id, trace.contributor_id

    contributed = await asyncio.gather(*(contribute(number) for number in range(30)))
    counts = await database.read(
        lambda reading: run(
            reading, "SELECT format('%s %s', (SELECT count(*) FROM users), (SELECT count(*) FROM tags))"
        )
    )
    await database.close()
    assert counts == "1 10"
    assert len({contributor_id for _, contributor_id in contributed}) == 1


async def test_deleted_traces_are_invisible_but_their_ids_stay_taken(database: Database) -> None:
    live, seed = await stored(database), await stored(database, is_seed=True, title="seed")
    deleted, deleted_seed = await stored(database), await stored(database, is_seed=True)
    nobody = uuid4()
    delete = "UPDATE traces SET deleted_at = now() WHERE id = ANY(:ids) RETURNING id"
    await database.read(lambda reading: run(reading, delete, ids=[deleted, deleted_seed]))
    everything = [live, seed, deleted, deleted_seed, nobody]

    async def ask(reading: Reading) -> None:
        traces = reading.traces
        assert set(await traces.get_many(everything, full=True)) == {live, seed}
        assert await traces.get_many([], full=True) == {}
        row, short = await traces.get(seed), await traces.get(seed, full=False)
        assert row is not None
        assert short == row._replace(context_text="", solution_text="")
        assert (row.title, row.context_text, row.solution_text, row.tags) == ("seed", "context", "solution", [])
        assert (row.status, row.trust_score, row.confirmation_count, row.revision) == ("pending", 0.0, 0, 1)
        assert await traces.get(deleted) is None
        assert await traces.known(everything) == {live, seed, deleted, deleted_seed}
        assert await traces.known([]) == set()
        assert {trace.id for trace in await traces.seeds()} == {seed, deleted_seed}
        assert [await traces.embedding_of(trace_id) is None for trace_id in everything] == [
            False,
            False,
            True,
            True,
            True,
        ]
        assert not await reading.embedding_models.only_seeds()

    await database.read(ask)


async def test_only_seeds_until_somebody_contributes(database: Database) -> None:
    assert await database.read(lambda reading: reading.embedding_models.only_seeds())
    await stored(database, is_seed=True)
    assert await database.read(lambda reading: reading.embedding_models.only_seeds())
    await stored(database)
    assert not await database.read(lambda reading: reading.embedding_models.only_seeds())


async def test_killed_connections_are_replaced(database: Database, postgres_url: str) -> None:
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test%'"

    async def fill_pools() -> None:
        await asyncio.gather(
            *(ask(lambda reading: run(reading, "SELECT pg_sleep(0.05)")) for ask in asks for _ in range(5))
        )
        await database.ping()

    asks = (database.read, database.search)
    for ask in asks:
        await fill_pools()
        await administer(postgres_url, kill)
        assert await ask(lambda reading: run(reading, "SELECT 42")) == 42
    await fill_pools()
    await administer(postgres_url, kill)
    await stored(database)
    await database.ping()


async def test_cancelled_reads_leak_no_connection(database_url: str) -> None:
    database = Database(database_url, pool_size=5, pool_timeout=0.2)
    moments = random.Random(4)  # noqa: S311 - any moments will do

    async def is_cancelled(ask: Ask) -> bool:
        try:
            async with asyncio.timeout(moments.uniform(0, 0.02)):
                await ask(lambda reading: run(reading, "SELECT pg_sleep(0.01)"))
        except TimeoutError:
            return True
        return False

    cancelled = 0
    while cancelled < 200:
        asks = [database.read, database.search] * 5
        cancelled += sum(await asyncio.gather(*(is_cancelled(ask) for ask in asks)))
    for ask in (database.read, database.search):
        # Longer than a sixth would wait for a connection.
        await asyncio.gather(*(ask(lambda reading: run(reading, "SELECT pg_sleep(0.3)")) for _ in range(5)))
    await database.close()


async def test_an_exhausted_pool_is_overload_in_time(database_url: str) -> None:
    database = Database(database_url, pool_size=2, pool_timeout=0.2)
    holding = [
        asyncio.create_task(database.read(lambda reading: run(reading, "SELECT pg_sleep(0.6)"))) for _ in range(2)
    ]
    await asyncio.sleep(0.15)

    async def wait() -> float:
        started = time.monotonic()
        with pytest.raises(Overloaded):
            await database.read(lambda reading: run(reading, "SELECT 1"))
        return time.monotonic() - started

    waits = await asyncio.gather(*(wait() for _ in range(5)))
    assert 0.2 <= min(waits) <= max(waits) < 0.2 + 0.15
    # Searches and the health check have connections of their own.
    assert await database.search(lambda reading: run(reading, "SELECT 42")) == 42
    await database.ping()
    await asyncio.gather(*holding)
    assert await database.read(lambda reading: run(reading, "SELECT 42")) == 42
    await database.close()


@pytest.mark.parametrize(
    ("limit", "slow"),
    [
        ("statement_timeout", "SELECT pg_sleep(2)"),
        ("lock_timeout", "INSERT INTO tags (id, name) VALUES (gen_random_uuid(), 'python')"),
    ],
)
async def test_a_time_limit_is_no_answer_in_time(database: Database, limit: str, slow: str) -> None:
    async def ask(reading: Reading) -> None:
        await run(reading, f"SELECT set_config('{limit}', '100', false)")
        await run(reading, slow)

    async with database.unit_of_work() as work:
        trace = a_trace(await work.users.ensure(EMAIL))
        await work.traces.add(trace)
        await work.tags.attach(trace.id, ["python"])
        with pytest.raises(DatabaseUnavailable, match="did not answer in time"):
            await database.read(ask)


@pytest.mark.parametrize("ask", [Database.ping, stored, lambda database: knows(database, EMAIL)])
async def test_a_database_that_is_not_there_is_unavailable(
    postgres_url: str, ask: Callable[[Database], Awaitable[object]]
) -> None:
    for url in (url_of(postgres_url, "nobody_made_it"), "postgresql://localhost:1/nobody_listens"):
        database = Database(url)
        with pytest.raises(DatabaseUnavailable):
            await ask(database)
        await database.close()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("postgres://ada:secret@db:5433/traces", "postgresql+asyncpg://ada:secret@db:5433/traces"),
        ("postgresql://db/traces", "postgresql+asyncpg://db/traces"),
        ("postgresql+asyncpg://db/traces", "postgresql+asyncpg://db/traces"),
        ("postgresql+psycopg://db/traces", "postgresql+asyncpg://db/traces"),
        ("postgres://db/traces?sslmode=require", "postgresql+asyncpg://db/traces?ssl=require"),
        ("postgresql:///traces?host=/run/pg&port=5433", "postgresql+asyncpg:///traces?host=%2Frun%2Fpg&port=5433"),
        ("postgresql://ada:p%40ss@db/traces", "postgresql+asyncpg://ada:p%40ss@db/traces"),
    ],
)
def test_any_spelling_of_a_postgres_url_will_do(given: str, wanted: str) -> None:
    assert engines.postgres_url(given).render_as_string(hide_password=False) == wanted


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("mysql://ada:secret@db/traces", "must be a Postgres URL"),
        ("sqlite:///traces.db", "must be a Postgres URL"),
        ("", "must be a Postgres URL"),
        ("localhost", "must be a Postgres URL"),
        ("postgresql://ada:secret@db:port/traces", "must be a Postgres URL"),
        ("postgresql://ada:secret@db/traces?channel_binding=require&sslmode=require", "channel_binding"),
    ],
)
def test_what_is_wrong_with_a_url_is_said_without_the_password(given: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refusal:
        engines.postgres_url(given)
    assert "secret" not in str(refusal.value)
