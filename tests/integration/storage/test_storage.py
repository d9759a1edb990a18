import asyncio
import random
from uuid import UUID, uuid4

import numpy as np
import pytest
from sqlalchemy import bindparam, cast, select

from commontrace.domain.errors import InvalidStoredVector
from commontrace.domain.search.neighbours import NeighbourQuery
from commontrace.embeddings.embedder import Vector
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import migrations
from commontrace.storage.database import Database
from commontrace.storage.postgres_url import parse_postgres_url
from commontrace.storage.unit_of_work import Reading
from commontrace.storage.vector_type import VectorType
from tests.conftest import administer
from tests.integration.storage.storing import EMAIL, a_trace, knows, run, stored, unit_vector
from tests.support.commons import EVERY_TRACE, IN_COMMONS


async def test_a_unit_of_work_commits_on_leaving(database: Database) -> None:
    async with database.unit_of_work() as work:
        await work.users.get_or_create(EMAIL)
        assert not await knows(database, EMAIL)
    assert await knows(database, EMAIL)


async def test_an_exception_rolls_back(database: Database) -> None:
    async def write_and_fail() -> None:
        async with database.unit_of_work() as work:
            await work.users.get_or_create(EMAIL)
            raise LookupError

    with pytest.raises(LookupError):
        await write_and_fail()
    assert not await knows(database, EMAIL)


async def test_cancellation_rolls_back(database: Database) -> None:
    written = asyncio.Event()

    async def write_and_wait() -> None:
        async with database.unit_of_work() as work:
            await work.users.get_or_create(EMAIL)
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
        await work.users.get_or_create(EMAIL)


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
        return [(await reading.exact_search._connection.execute(statement)).scalar_one() for statement in statements]

    for vector, returned in zip(vectors, await database.read(there_and_back), strict=True):
        assert returned.dtype == np.float32
        assert returned.tobytes() == vector.astype(np.float32).tobytes()
    trace_id = await stored(database, embedding=unit_vector(3))
    embedding = await database.read(lambda reading: reading.traces.get_embedding(trace_id, IN_COMMONS))
    assert embedding is not None
    assert embedding.tobytes() == unit_vector(3).tobytes()


async def test_the_extension_may_live_in_another_schema(empty_database_url: str) -> None:
    name = parse_postgres_url(empty_database_url).database
    for statement in (
        "CREATE SCHEMA extensions",
        "CREATE EXTENSION vector SCHEMA extensions",
        f"ALTER DATABASE {name} SET search_path = public, extensions",
    ):
        await administer(empty_database_url, statement)
    await migrations.upgrade(empty_database_url, LexicalEmbedder(384))
    database = Database(empty_database_url)
    trace_id = await stored(database, embedding=unit_vector(3))
    embedding = await database.read(lambda reading: reading.traces.get_embedding(trace_id, IN_COMMONS))
    asked = NeighbourQuery(
        vector=unit_vector(3), model_id="model", model_version="1", limit=1, trace_filter=EVERY_TRACE
    )
    nearest = await database.search(lambda search: search.neighbours(asked, ef_search=40))
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
            trace = a_trace(await work.users.get_or_create(EMAIL))
            await work.trace_creation.add(trace)
            await work.tags.attach(trace.id, tags)
            assert (await work.traces.get_many([trace.id], EVERY_TRACE, full=True))[trace.id].tags == sorted(tags)
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
        assert set(await traces.get_many(everything, EVERY_TRACE, full=True)) == {live, seed}
        assert await traces.get_many([], EVERY_TRACE, full=True) == {}
        row, short = await traces.get(seed, IN_COMMONS), await traces.get(seed, IN_COMMONS, full=False)
        assert row is not None
        assert short == row._replace(context_text="", solution_text="")
        assert (row.title, row.context_text, row.solution_text, row.tags) == ("seed", "context", "solution", [])
        assert (row.status, row.trust_score, row.confirmation_count, row.revision) == ("pending", 0.0, 0, 1)
        assert await traces.get(deleted, IN_COMMONS) is None
        assert await traces.get_existing_ids(everything) == {live, seed, deleted, deleted_seed}
        assert await traces.get_existing_ids([]) == set()
        assert {trace.id for trace in await traces.list_seeds()} == {seed, deleted_seed}
        assert [await traces.get_embedding(trace_id, IN_COMMONS) is None for trace_id in everything] == [
            False,
            False,
            True,
            True,
            True,
        ]
        assert not await reading.embedding_models.has_only_seeds()

    await database.read(ask)


async def test_only_seeds_until_somebody_contributes(database: Database) -> None:
    assert await database.read(lambda reading: reading.embedding_models.has_only_seeds())
    await stored(database, is_seed=True)
    assert await database.read(lambda reading: reading.embedding_models.has_only_seeds())
    await stored(database)
    assert not await database.read(lambda reading: reading.embedding_models.has_only_seeds())
