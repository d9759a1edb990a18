import asyncio
import random
from collections.abc import Iterator
from functools import partial
from itertools import count
from uuid import UUID, uuid4

import asyncpg
import pytest

from commontrace.storage.database import Database
from tests.conftest import administer, query
from tests.integration.storage.storing import stored, unit_vector
from tests.support.trace_signs import out_of_date, signs_out_of_date, words_out_of_date

TRACES, TAGS, WRITERS, CHANGES = 40, 8, 6, 60

CHANGE = (
    "UPDATE traces SET status = CASE status WHEN 'pending' THEN 'validated' ELSE 'pending' END WHERE id = '{trace}'",
    "UPDATE traces SET agent_model = '{number}', confirmation_count = {number} WHERE id = '{trace}'",
    "UPDATE traces SET deleted_at = CASE WHEN deleted_at IS NULL THEN now() END WHERE id = '{trace}'",
    "UPDATE traces SET superseded_by_id = CASE WHEN superseded_by_id IS NULL THEN '{other}'::uuid END"
    " WHERE id = '{trace}'",
    "UPDATE traces SET embedding = embedding * array_fill(-1, ARRAY[384])::vector WHERE id = '{trace}'",
    "UPDATE traces SET embedding = NULL, embedding_model_id = NULL, embedding_model_version = NULL"
    " WHERE id = '{trace}'",
    "UPDATE traces SET title = 'number {number}' WHERE id = '{trace}'",
    "UPDATE traces SET context_text = 'before {number}', solution_text = 'of {other}'"
    " WHERE id IN ('{trace}', '{other}')",
    "INSERT INTO trace_tags VALUES ('{trace}', '{tag}'), ('{other}', '{tag}') ON CONFLICT DO NOTHING",
    "DELETE FROM trace_tags WHERE trace_id = '{trace}'",
    # As a merge of tags does.
    "INSERT INTO trace_tags SELECT trace_id, '{tag}' FROM trace_tags WHERE tag_id = '{other_tag}'"
    " ON CONFLICT DO NOTHING",
    "DELETE FROM trace_tags WHERE tag_id = '{other_tag}'",
    "UPDATE trace_tags SET tag_id = '{tag}' WHERE trace_id = '{trace}' AND tag_id = '{other_tag}'"
    " AND NOT EXISTS (SELECT FROM trace_tags WHERE trace_id = '{trace}' AND tag_id = '{tag}')",
    "INSERT INTO traces (id, title, context_text, solution_text, contributor_id) SELECT gen_random_uuid(), '', '', '',"
    " contributor_id FROM traces LIMIT 3",
)


@pytest.fixture
async def traces(database: Database) -> list[UUID]:
    return [await stored(database, embedding=unit_vector(number)) for number in range(TRACES)]


@pytest.fixture
async def tags(database_url: str) -> list[UUID]:
    ids = [uuid4() for _ in range(TAGS)]
    for number, tag in enumerate(ids):
        await administer(database_url, f"INSERT INTO tags (id, name) VALUES ('{tag}', 'tag-{number}')")  # noqa: S608 - our own
    return ids


@pytest.fixture
def changes(traces: list[UUID], tags: list[UUID]) -> Iterator[str]:
    chance = random.Random(7)  # noqa: S311 - no secret

    def endless() -> Iterator[str]:
        for number in count():
            trace, other = chance.sample(traces, 2)
            tag, other_tag = chance.sample(tags, 2)
            change = CHANGE[number % len(CHANGE)]
            yield change.format(trace=trace, other=other, tag=tag, other_tag=other_tag, number=number)

    return endless()


async def attempt(connection: asyncpg.Connection, statements: list[str]) -> bool:
    """In one transaction, which may have to give way to others: to a deadlock, or where both add the same tag."""
    try:
        async with connection.transaction():
            for statement in statements:
                await connection.execute(statement)
    except (asyncpg.DeadlockDetectedError, asyncpg.UniqueViolationError):
        return False
    return True


async def connect(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(url.replace("+asyncpg", ""))


@pytest.mark.every_postgres
async def test_they_follow_whatever_happens_to_traces(database_url: str, changes: Iterator[str]) -> None:
    connections = [await connect(database_url) for _ in range(WRITERS)]
    for _ in CHANGE:
        assert await attempt(connections[0], [next(changes)])
        assert await out_of_date(database_url) == 0

    async def write(connection: asyncpg.Connection) -> int:
        return sum([await attempt(connection, [next(changes), next(changes)]) for _ in range(CHANGES // 2)])

    done = await asyncio.gather(*map(write, connections))
    assert sum(done) > CHANGES
    assert await out_of_date(database_url) == 0
    for connection in connections:
        await connection.close()


async def test_without_triggers_they_do_not(database_url: str, changes: Iterator[str]) -> None:
    await administer(database_url, "ALTER TABLE traces DISABLE TRIGGER USER")
    await administer(database_url, "ALTER TABLE trace_tags DISABLE TRIGGER USER")
    for _ in CHANGE:
        await administer(database_url, next(changes))
    assert await signs_out_of_date(database_url) > 0
    assert await words_out_of_date(database_url) > 0
    await administer(database_url, "SELECT refresh_trace_signs(ARRAY(SELECT id FROM traces))")
    assert await signs_out_of_date(database_url) == 0


@pytest.mark.usefixtures("traces")
async def test_votes_leave_them_alone(database_url: str) -> None:
    written = partial(
        query,
        database_url,
        "SELECT max(trace_signs.xmin::text::bigint), max(trace_words.xmin::text::bigint)"
        " FROM trace_signs JOIN trace_words USING (trace_id)",
    )
    before = await written()
    await administer(database_url, "UPDATE traces SET confirmation_count = 2, trust_score = 1")
    assert await written() == before
