import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from commontrace.core.cleanup import delete_unused_tags
from commontrace.core.tags import service as tag_service
from commontrace.domain.errors import TagNotFound
from commontrace.domain.search.neighbours import NeighbourQuery
from commontrace.storage.database import Database
from commontrace.storage.driver_statement import DriverStatement
from commontrace.storage.tags.changes import SCAN_FOR_UNUSED
from commontrace.storage.tags.listing import TagQuery
from tests.conftest import administer, query
from tests.integration.storage.storing import run, stored, unit_vector
from tests.support.commons import EVERY_TRACE, IN_COMMONS

_BOTH_TAG_AND_ALIAS = "SELECT count(*) FROM tags JOIN tag_aliases USING (name)"


@pytest.fixture
async def wide(database_url: str) -> AsyncIterator[Database]:
    """A storage layer that lets many write at once."""
    wide = Database(database_url, pool_size=30, pool_timeout=10)
    yield wide
    await wide.close()


async def tagged(database: Database, *names: str) -> UUID:
    trace_id = await stored(database)
    async with database.unit_of_work() as work:
        await work.tags.attach(trace_id, names)
    return trace_id


async def tags_of(database: Database, trace_id: UUID) -> list[str]:
    trace = await database.read(lambda reading: reading.traces.get(trace_id, IN_COMMONS))
    assert trace is not None
    return trace.tags


async def merge(database: Database, source: str, target: str) -> int:
    async with database.unit_of_work() as work:
        return (await tag_service.merge(source, target, IN_COMMONS, work)).moved_trace_count


async def replaced(database: Database, trace_id: UUID, *names: str) -> bool:
    async with database.unit_of_work() as work:
        await work.trace_changes.lock_live(trace_id, IN_COMMONS)
        return await work.tags.replace(trace_id, names)


async def count(database: Database, sql: str) -> int:
    return int(await database.read(lambda reading: run(reading, sql)))


async def test_the_first_use_of_a_tag_by_thirty_at_once(wide: Database) -> None:
    trace_ids = [await stored(wide) for _ in range(30)]

    async def attach(trace_id: UUID) -> None:
        async with wide.unit_of_work() as work:
            await work.tags.attach(trace_id, ["fresh"])

    await asyncio.gather(*map(attach, trace_ids))
    [tag] = await wide.read(lambda reading: reading.tag_listing.list(TagQuery(size=10), IN_COMMONS))
    assert (tag.name, tag.trace_count) == ("fresh", 30)


async def test_names_of_one_tag_are_one_tag_of_a_trace(database: Database) -> None:
    await merge(database, "old", "new")
    trace_id = await tagged(database, "new", "old", "other")
    assert await tags_of(database, trace_id) == ["new", "other"]
    assert await count(database, "SELECT count(*) FROM tags") == 2


async def test_tags_are_read_in_alphabetical_order(database: Database) -> None:
    names = [*(f"t{number}" for number in range(17)), "z", "é", "a-b"]
    trace_id = await tagged(database, *names)
    vector, full = unit_vector(0), True
    nearest = NeighbourQuery(vector=vector, model_id="model", model_version="1", limit=10, trace_filter=EVERY_TRACE)
    rows: list[Any] = [
        await database.read(lambda reading: reading.traces.get(trace_id, IN_COMMONS)),
        (await database.search(lambda search: search.hits(nearest, ef_search=64, full=full)))[0][1],
        (
            await database.search(
                lambda search: search.find_reranked(nearest, candidates=10, full=full),
                trace_filter=nearest.trace_filter,
            )
        ).traces[0],
    ]
    exported = await database.read(
        lambda reading: reading.trace_export.list_oldest_first(
            EVERY_TRACE, after=None, size=10, text_bytes=10**6, model=None
        )
    )
    # Twenty, so that those that come as they lie in an index are not in order by chance.
    assert [row.tags for row in (*rows, *exported)] == [sorted(names)] * 4


async def test_ensuring_an_alias_creates_no_tag(database: Database) -> None:
    await merge(database, "old", "new")
    async with database.unit_of_work() as work:
        ids = await work.tags.get_or_create(["old", "new", "fresh"])
        assert ids["old"] == ids["new"] != ids["fresh"]
    assert await count(database, "SELECT count(*) FROM tags") == 2


async def test_the_tags_of_a_trace_are_replaced(database: Database) -> None:
    trace_id, other_id = await tagged(database, "a", "b"), await tagged(database, "a", "b")
    await merge(database, "alias-of-c", "c")
    assert await replaced(database, trace_id, "b", "c", "d") is True
    assert await tags_of(database, trace_id) == ["b", "c", "d"]
    assert await replaced(database, trace_id, "d", "alias-of-c", "b", "c") is False
    assert await tags_of(database, trace_id) == ["b", "c", "d"]
    assert await replaced(database, trace_id) is True
    assert await replaced(database, trace_id) is False
    assert await tags_of(database, trace_id) == []
    assert await tags_of(database, other_id) == ["a", "b"]


async def test_a_merge_waits_for_traces_that_are_given_the_source(database: Database) -> None:
    trace_id = await stored(database)
    async with database.unit_of_work() as work:
        await work.tags.attach(trace_id, ["old"])
        merging = asyncio.create_task(merge(database, "old", "new"))
        await asyncio.sleep(0.2)
        assert not merging.done()
    assert await merging == 1
    assert await tags_of(database, trace_id) == ["new"]


@pytest.mark.parametrize("names", [["old"], ["old", "new"], []])
async def test_a_trace_is_given_tags_as_they_are_after_a_merge_under_way(database: Database, names: list[str]) -> None:
    trace_id = await tagged(database, "old")
    async with database.unit_of_work() as work:
        await tag_service.merge("old", "new", IN_COMMONS, work)
        replacing = asyncio.create_task(replaced(database, trace_id, *names))
        ensuring = asyncio.create_task(tagged(database, "old"))
        await asyncio.sleep(0.2)
        assert not replacing.done()
        assert not ensuring.done()
    # The merge made it `new` already.
    assert await replacing is (names == [])
    assert await tags_of(database, trace_id) == (["new"] if names else [])
    assert await tags_of(database, await ensuring) == ["new"]
    assert await count(database, _BOTH_TAG_AND_ALIAS) == 0


async def test_merges_in_a_circle_at_once_leave_one_tag(wide: Database) -> None:
    names = ["a", "b", "c"]
    trace_ids = [await tagged(wide, name) for name in names]
    circle = [("a", "b"), ("b", "c"), ("c", "a")] * 4
    moved = await asyncio.gather(*(merge(wide, source, target) for source, target in circle))
    tags = [await tags_of(wide, trace_id) for trace_id in trace_ids]
    # The first merge moved one trace, the second one or two; the others found one tag.
    assert sorted(moved, reverse=True)[2:] == [0] * 10
    assert tags[0] == tags[1] == tags[2]
    assert await count(wide, "SELECT count(*) FROM tags") == 1
    assert await count(wide, "SELECT count(*) FROM tag_aliases") == 2
    assert await count(wide, _BOTH_TAG_AND_ALIAS) == 0


async def test_merging_while_traces_change_their_tags(wide: Database) -> None:
    trace_ids = [await tagged(wide, "old", f"t{number}") for number in range(6)]

    async def change(number: int) -> None:
        for turn in range(8):
            wanted = [["old", "kept"], ["new", "old"], ["kept"], []][(number + turn) % 4]
            await replaced(wide, trace_ids[number % 6], *wanted)
        await replaced(wide, trace_ids[number % 6], "old", "kept")

    changing = [asyncio.create_task(change(number)) for number in range(12)]
    await asyncio.sleep(0.05)
    await merge(wide, "old", "new")
    await asyncio.gather(*changing)
    assert [await tags_of(wide, trace_id) for trace_id in trace_ids] == [["kept", "new"]] * 6
    assert await count(wide, "SELECT count(*) FROM tags WHERE name = 'old'") == 0
    assert await count(wide, _BOTH_TAG_AND_ALIAS) == 0


async def test_an_update_waits_for_a_merge_and_changes_the_tag_that_stayed(database: Database) -> None:
    await tagged(database, "old")

    async def describe() -> str:
        async with database.unit_of_work() as work:
            return (await tag_service.update("old", {"description": "kept"}, IN_COMMONS, work)).name

    async with database.unit_of_work() as work:
        await tag_service.merge("old", "new", IN_COMMONS, work)
        describing = asyncio.create_task(describe())
        await asyncio.sleep(0.2)
        assert not describing.done()
    assert await describing == "new"
    assert (
        await count(database, "SELECT count(*) FROM tags WHERE description = 'kept' AND updated_at > created_at") == 1
    )


async def test_what_a_name_stands_for(database: Database) -> None:
    await merge(database, "old", "new")
    names = await database.read(lambda reading: reading.tags.get_canonical_names(["old", "new", "unknown"], IN_COMMONS))
    ids = await database.read(lambda reading: reading.tags.get_ids(["old", "new", "unknown"]))
    assert names == {"old": "new", "new": "new"}
    assert ids.keys() == names.keys()
    assert ids["old"] == ids["new"]
    assert await database.read(lambda reading: reading.tags.get_canonical_names([], IN_COMMONS)) == {}


async def test_a_merge_that_fails_changes_nothing(database: Database) -> None:
    trace_id = await tagged(database, "old")

    async def fail() -> None:
        async with database.unit_of_work() as work:
            await tag_service.merge("old", "new", IN_COMMONS, work)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await tags_of(database, trace_id) == ["old"]
    assert await count(database, "SELECT (SELECT count(*) FROM tag_aliases) + (SELECT count(*) FROM tags)") == 1


async def age_tags(url: str) -> None:
    await administer(url, "UPDATE tags SET created_at = created_at - interval '25 hours'")


async def names_in(url: str) -> set[str]:
    return {name for [name] in await query(url, "SELECT name FROM tags")}


async def ensured(database: Database, *names: str) -> None:
    async with database.unit_of_work() as work:
        await work.tags.get_or_create(names)


async def test_tags_of_no_use_are_removed_after_a_day(database: Database, database_url: str) -> None:
    deleted = await tagged(database, "of-a-deleted-trace", "replaced")
    await replaced(database, deleted, "of-a-deleted-trace")
    await administer(database_url, "UPDATE traces SET deleted_at = now()")
    await merge(database, "alias", "with-an-alias")
    await ensured(database, "curated", "described", *(f"unused-{number}" for number in range(20)))
    async with database.unit_of_work() as work:
        await tag_service.update("curated", {"is_curated": True}, IN_COMMONS, work)
        await tag_service.update("described", {"description": "kept"}, IN_COMMONS, work)
    assert await delete_unused_tags(database) == 0
    await age_tags(database_url)
    await ensured(database, "new", "unused-7")
    assert await delete_unused_tags(database, batch=7) == 21
    assert await delete_unused_tags(database, batch=7) == 0
    assert await names_in(database_url) == {"of-a-deleted-trace", "with-an-alias", "curated", "described", "new"}


async def test_a_tag_that_is_about_to_be_used_is_not_removed(database: Database, database_url: str) -> None:
    await ensured(database, "old", "unused")
    await age_tags(database_url)
    trace_id = await stored(database)
    async with database.unit_of_work() as work:
        await work.tags.attach(trace_id, ["old"])
        assert await delete_unused_tags(database) == 1
    assert await tags_of(database, trace_id) == ["old"]
    assert await delete_unused_tags(database) == 0


@pytest.mark.parametrize("name", ["old", "renamed"])
async def test_who_uses_a_tag_that_is_being_removed_waits_and_makes_it_anew(
    database: Database, database_url: str, name: str
) -> None:
    await ensured(database, name)
    await age_tags(database_url)
    trace_id = await stored(database)
    async with database.unit_of_work() as work:
        assert (await work.tag_changes.delete_unused(after=UUID(int=0), limit=10)).deleted == 1
        replacing = asyncio.create_task(replaced(database, trace_id, name))
        await asyncio.sleep(0.2)
        assert not replacing.done()
    assert await replacing is True
    assert await tags_of(database, trace_id) == [name]


async def test_a_tag_that_is_being_removed_is_not_found_by_an_update(database: Database, database_url: str) -> None:
    await ensured(database, "old")
    await age_tags(database_url)

    async def describe() -> None:
        async with database.unit_of_work() as work:
            await tag_service.update("old", {"description": "kept"}, IN_COMMONS, work)

    async with database.unit_of_work() as work:
        await work.tag_changes.delete_unused(after=UUID(int=0), limit=10)
        describing = asyncio.create_task(describe())
        await asyncio.sleep(0.2)
        assert not describing.done()
    with pytest.raises(TagNotFound):
        await describing


async def test_removing_tags_while_traces_are_given_them(wide: Database, database_url: str) -> None:
    names = [f"name-{number}" for number in range(40)]
    trace_ids = [await stored(wide) for _ in range(12)]
    removed = 0
    is_done = False

    async def use(number: int) -> list[str]:
        """Gives a trace names and takes them from it again, which leaves them to be removed."""
        turn = 0
        while turn < 20 or removed < 100:
            turn += 1
            wanted = sorted(names[(number * 7 + turn * 3 + step) % 40] for step in range(3))
            await replaced(wide, trace_ids[number], *wanted)
            assert await tags_of(wide, trace_ids[number]) == wanted
            await replaced(wide, trace_ids[number])
        await replaced(wide, trace_ids[number], *wanted)
        return wanted

    async def age() -> None:
        while not is_done:
            await age_tags(database_url)

    async def remove() -> None:
        nonlocal removed
        while not is_done:
            removed += await delete_unused_tags(wide, batch=5)

    async with asyncio.TaskGroup() as beside:
        for some in (age(), remove(), remove()):
            beside.create_task(some)
        used = await asyncio.gather(*(use(number) for number in range(12)))
        is_done = True
    assert [await tags_of(wide, trace_id) for trace_id in trace_ids] == used
    await age_tags(database_url)
    await delete_unused_tags(wide)
    assert await names_in(database_url) == {name for wanted in used for name in wanted}


async def test_unused_tags_are_found_by_keys(database_url: str) -> None:
    await administer(
        database_url,
        "INSERT INTO users (id, email) VALUES (gen_random_uuid(), 'eve@example.org');"
        "INSERT INTO tags (id, name) SELECT gen_random_uuid(), 'name-' || n FROM generate_series(1, 5000) n;"
        "INSERT INTO traces (id, title, context_text, solution_text, contributor_id)"
        " SELECT gen_random_uuid(), 'title', '', '', users.id FROM users, generate_series(1, 2000);"
        "INSERT INTO trace_tags (trace_id, tag_id)"
        " SELECT traces.id, tags.id FROM traces, (SELECT id FROM tags LIMIT 20) tags",
    )
    statement = DriverStatement(SCAN_FOR_UNUSED)
    given = statement.arguments({"after": UUID(int=0), "most": 1_000})
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    for statistics in ("SELECT 1", "ANALYZE"):
        await connection.execute(statistics)
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN (COSTS OFF) {statement.sql}", *given))
        assert "using ix_trace_tags_tag_id_trace_id on trace_tags" in plan, plan
        assert "Seq Scan on trace_tags" not in plan
        assert "using pk_tags on tags" in plan
    await connection.close()
