from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from commontrace.core.traces import listing
from commontrace.domain.namespaces.access import COMMONS_ONLY
from commontrace.domain.traces.trace_filter import ResolvedFilter, TraceFilter
from commontrace.storage.database import Database
from commontrace.storage.keyset import Cursor
from commontrace.storage.search import filter_sql
from commontrace.storage.traces.listing import page_statement
from commontrace.storage.unit_of_work import Reading
from tests.integration.storage.storing import EMAIL, RARE, store_many, stored
from tests.support.commons import IN_COMMONS

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVERYTHING = ResolvedFilter(trace_filter=TraceFilter(), namespaces=IN_COMMONS)


async def store_at(database: Database, *microseconds: int) -> list[Cursor]:
    stored_at = []
    for offset in microseconds:
        time = NOON + timedelta(microseconds=offset)
        stored_at.append(Cursor(time, await stored(database)))
        async with database.unit_of_work() as work:
            await work.trace_changes.update(stored_at[-1].id, {"created_at": time})
    return stored_at


async def listed(database: Database, after: Cursor | None = None, size: int = 100, **fields: Any) -> list[Cursor]:
    asked = ResolvedFilter(trace_filter=TraceFilter(**fields), namespaces=IN_COMMONS)
    return await database.read(
        lambda reading: reading.trace_listing.list_newest_first(asked, owner_id=None, after=after, size=size)
    )


async def test_positions_are_exact_to_the_microsecond_and_ordered_by_id_among_equals(database: Database) -> None:
    ordered = sorted(await store_at(database, 0, 1, 1, 2, 1, 999_999), reverse=True)
    assert await listed(database) == ordered
    for index, position in enumerate(ordered):
        assert await listed(database, after=position) == ordered[index + 1 :]
        assert await listed(database, after=position, size=1) == ordered[index + 1 : index + 2]


async def test_a_position_need_not_be_that_of_a_trace(database: Database) -> None:
    [early, late] = await store_at(database, 0, 2)
    assert await listed(database, after=Cursor(NOON + timedelta(microseconds=1), uuid4())) == [early]
    assert await listed(database, after=Cursor(NOON, UUID(int=0))) == []
    assert await listed(database, after=Cursor(early.created_at, UUID(int=2**128 - 1))) == [early]
    assert late in await listed(database, after=Cursor(datetime.max.replace(tzinfo=UTC), early.id))
    assert await listed(database, after=Cursor(datetime.min.replace(tzinfo=UTC), early.id)) == []


async def test_what_went_away_or_changed_after_it_was_found_is_left_out(database: Database) -> None:
    [deleted, validated, replaced, same] = await store_at(database, *range(4))
    asked = TraceFilter(statuses=("pending",))
    found = await listing.find_positions(asked, COMMONS_ONLY, owner_email=None, after=None, size=10, database=database)
    async with database.unit_of_work() as work:
        await work.trace_changes.mark_deleted(deleted.id)
        await work.trace_changes.update(validated.id, {"status": "validated"})
        await work.trace_changes.update(replaced.id, {"superseded_by_id": same.id})
    rows = await listing.load_traces(found.positions, of=found, full=True, database=database)
    assert list(rows) == [same]
    assert rows[same].context_text == "context"


async def test_an_owner_finds_deleted_traces_but_never_those_of_others(database: Database) -> None:
    [mine] = await store_at(database, 0)
    async with database.unit_of_work() as work:
        await work.trace_changes.mark_deleted(mine.id)
        stranger = await work.users.get_or_create("stranger@example.org")
    own = await listing.find_positions(
        TraceFilter(), COMMONS_ONLY, owner_email=EMAIL, after=None, size=10, database=database
    )
    assert list(own.positions) == [mine]
    [row] = (await listing.load_traces([mine], of=own, full=False, database=database)).values()
    assert row.deleted_at is not None
    for owner_id in (None, stranger):

        async def ask(reading: Reading, owner_id: UUID | None = owner_id) -> Any:
            return await reading.traces.get_many([mine.id], EVERYTHING, full=False, owner_id=owner_id)

        assert await database.read(ask) == {}


@pytest.mark.parametrize("after", [None, Cursor(NOON + timedelta(seconds=4_000), UUID(int=0))], ids=["first", "later"])
async def test_a_page_reads_an_index_not_the_table(database: Database, database_url: str, after: Cursor | None) -> None:
    await store_many(database, database_url)
    for asked in (TraceFilter(), TraceFilter(statuses=("pending",)), TraceFilter(agent_models=("common",))):
        plan = await _plan(database, asked, after)
        assert "ix_trace_signs_created_at" in plan
        # Pages far back must not read all that lies before them.
        assert after is None or "Index Cond" in plan
    for asked, name in zip(RARE, ("status", "agent_model"), strict=True):
        assert f"ix_trace_signs_{name}" in await _plan(database, asked, after)


async def _plan(database: Database, asked: TraceFilter, after: Cursor | None) -> str:
    """What the server's own statement does. It reads no table as a whole, and not the wide one at all."""
    resolved = ResolvedFilter(trace_filter=asked, namespaces=IN_COMMONS)

    async def explain(reading: Reading) -> str:
        connection = reading.trace_listing._connection
        query = page_statement(resolved, owner_id=None, after=after, size=51)
        compiled = query.compile(dialect=connection.dialect)
        values = compiled.params | filter_sql.parameters(resolved)
        parameters = tuple(values[name] for name in compiled.positiontup or ())
        lines = await connection.exec_driver_sql(f"EXPLAIN (COSTS OFF) {compiled}", parameters)
        return "\n".join(lines.scalars())

    plan = await database.read(explain)
    assert "Seq Scan" not in plan
    assert " on traces" not in plan
    return plan
