import re
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

from commontrace.domain.traces.trace_filter import ResolvedFilter, TraceFilter
from commontrace.storage.database import Database
from commontrace.storage.keyset import Cursor
from commontrace.storage.search.filter_sql import kinds_of
from commontrace.storage.traces.export import ExportRow, page_parameters, page_statement
from commontrace.storage.unit_of_work import Reading
from tests.conftest import administer
from tests.integration.storage.storing import EMAIL, RARE, RARE_COUNT, a_trace, store_many, stored
from tests.support.commons import EVERY_TRACE, IN_COMMONS

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def page(database: Database, after: Cursor | None = None, size: int = 100, text_bytes: int = 10**6) -> Any:
    rows = await database.read(
        lambda reading: reading.trace_export.list_oldest_first(
            EVERY_TRACE, after=after, size=size, text_bytes=text_bytes, model=None
        )
    )
    assert all(isinstance(row, ExportRow) for row in rows)
    return [row.id for row in rows]


async def test_a_page_ends_before_its_texts_are_too_long(database: Database) -> None:
    ids = []
    async with database.unit_of_work() as work:
        contributor_id = await work.users.get_or_create(EMAIL)
        # Bytes count, and what lies out of line counts in full.
        for number, (context, solution) in enumerate([("x" * 9, "y"), ("é" * 5, ""), ("z" * 5000, ""), ("", "a" * 20)]):
            trace = a_trace(contributor_id, context=context, solution=solution)
            await work.trace_creation.add(trace)
            await work.trace_changes.update(trace.id, {"created_at": NOON + timedelta(microseconds=number)})
            ids.append(trace.id)
    assert await page(database) == ids
    assert await page(database, text_bytes=5020) == ids[:3]
    assert await page(database, text_bytes=5019) == ids[:2]
    assert await page(database, text_bytes=19) == ids[:1]
    assert await page(database, text_bytes=1) == ids[:1]
    assert await page(database, after=Cursor(NOON + timedelta(microseconds=1), ids[1]), text_bytes=20) == ids[2:3]
    assert await page(database, size=2) == ids[:2]
    assert await page(database, after=Cursor(NOON + timedelta(microseconds=3), ids[3])) == []


async def test_a_page_reads_the_index_by_time_from_where_it_begins(database: Database, database_url: str) -> None:
    await stored(database)
    await administer(
        database_url,
        "INSERT INTO traces (id, title, context_text, solution_text, contributor_id, agent_model, created_at)"
        " SELECT gen_random_uuid(), 'title', repeat('context ', 20), 'solution', contributor_id, 'm' || n % 10,"
        " timestamptz '2026-03-01 12:00Z' + n * interval '1 second'"
        " FROM traces, generate_series(1, 20000) n",
    )
    await administer(database_url, "ANALYZE traces, trace_signs")
    filtered = ResolvedFilter(trace_filter=TraceFilter(agent_models=("m1",)), namespaces=IN_COMMONS)
    later = Cursor(NOON + timedelta(seconds=10_000), UUID(int=0))
    for trace_filter, size, after in product((EVERY_TRACE, filtered), (1, 100, 500), (None, later)):
        plan = await _plan(database, trace_filter, size=size, after=after)
        text = "\n".join(plan)
        assert "Seq Scan on trace" not in text
        if trace_filter is EVERY_TRACE:
            [scan] = [line for line in plan if "using ix_traces_created_at on traces" in line]
            # Neither what lies before nor all that lies behind; one more tells that a time has no other trace.
            assert float(scan.partition("rows=")[2].split(" ")[0]) <= size + 1
            assert after is None or "Index Cond: (created_at >=" in text
        else:
            [scan] = [line for line in plan if "using pk_traces on traces (" in line]
            # Of the wide rows no more than the page has.
            assert int(scan.partition("loops=")[2].rstrip(")")) == size


async def test_a_page_of_what_is_rare_reads_no_more_than_that(database: Database, database_url: str) -> None:
    await store_many(database, database_url)
    for asked in RARE:
        plan = await _plan(database, ResolvedFilter(trace_filter=asked, namespaces=IN_COMMONS), size=51, after=None)
        read = re.findall(r" on (?:traces|trace_signs) \(actual rows=([\d.]+) loops=(\d+)\)", "\n".join(plan))
        assert sum(float(rows) * int(loops) for rows, loops in read) <= 2 * RARE_COUNT, asked
        assert "Seq Scan on trace" not in "\n".join(plan), asked


async def _plan(database: Database, trace_filter: ResolvedFilter, *, size: int, after: Cursor | None) -> list[str]:
    """What the server's own statement does, and how much it reads."""

    async def explain(reading: Reading) -> list[str]:
        connection = reading.trace_export._connection
        parameters = page_parameters(trace_filter, after=after, size=size, text_bytes=1 << 21, model=("model", "1"))
        query = page_statement(kinds_of(trace_filter), is_continued=after is not None, with_embeddings=True)
        compiled = query.compile(dialect=connection.dialect)
        values = tuple((compiled.params | parameters)[name] for name in compiled.positiontup or ())
        lines = await connection.exec_driver_sql(f"EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF) {compiled}", values)
        return list(lines.scalars())

    return await database.read(explain)
