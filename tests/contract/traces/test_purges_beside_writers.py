"""A purge beside whoever adds rows that refer to the trace: both succeed, whoever comes first."""

import asyncio
from collections import Counter
from uuid import UUID

import pytest

from commontrace.core.encoding.queue import requeue
from commontrace.core.tags import service as tag_service
from commontrace.core.traces import moderate as trace_moderation
from commontrace.domain.namespaces.access import COMMONS_ONLY
from commontrace.storage.tags.repository import MERGES
from commontrace.v1 import tag_service_pb2 as tag_pb
from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import RunningServer, administer, query
from tests.contract.callers import ADA, EVE, reason_of
from tests.contract.imports.imports import a_record, imported
from tests.contract.traces.test_moderation import mentions
from tests.support.builders import a_contribution, copies_of
from tests.support.commons import IN_COMMONS
from tests.support.locks import held, until_waiting
from tests.support.trace_signs import out_of_date

# Without those that go with their trace by themselves.
REFERENCES = "SELECT conname FROM pg_constraint WHERE confrelid = 'traces'::regclass AND confdeltype <> 'c'"
ADDED = {
    "fk_encoding_jobs_trace_id_traces": "INSERT INTO encoding_jobs (trace_id) VALUES ('{trace}')",
    "fk_trace_revisions_trace_id_traces": """
        INSERT INTO trace_revisions
        SELECT trace_id, 2, title, context_text, solution_text, changed_fields, editor_id
        FROM trace_revisions WHERE trace_id = '{trace}'""",
    "fk_trace_tags_trace_id_traces": "INSERT INTO trace_tags SELECT '{trace}', id FROM tags WHERE name = 'other'",
    "fk_traces_promoted_from_id_traces": "UPDATE traces SET promoted_from_id = '{trace}' WHERE id = '{other}'",
    "fk_traces_superseded_by_id_traces": "UPDATE traces SET superseded_by_id = '{trace}' WHERE id = '{other}'",
    "fk_traces_supersedes_id_traces": "UPDATE traces SET supersedes_id = '{trace}' WHERE id = '{other}'",
    "fk_votes_trace_id_traces": """
        INSERT INTO votes (id, trace_id, voter_id, vote_type, revision)
        SELECT gen_random_uuid(), '{trace}', id, 'up', 1 FROM users""",
}
EVENTS = "SELECT event_type FROM trace_events WHERE trace_id = '{}' ORDER BY sequence"
LEFT = "SELECT count(*) FROM traces WHERE '{}' IN (supersedes_id, id)"
SIGNS = "SELECT 1 FROM trace_signs WHERE trace_id = '{}' FOR UPDATE NOWAIT"
IS_SUPERSEDED = "SELECT superseded_by_id IS NOT NULL FROM traces WHERE id = '{}'"

ROUNDS, TAGGED, PURGED = 30, 12, 6
TAGS = "INSERT INTO tags (id, name) SELECT gen_random_uuid(), 'of-' || n FROM generate_series(0, {} - 1) n"
TAG_ALL_OTHERS = """
    INSERT INTO trace_tags SELECT traces.id, tags.id
    FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM traces WHERE id <> '{}') AS traces
    JOIN tags ON name = 'of-' || n % {}"""
OF_ROUND = "SELECT trace_id::text FROM trace_tags JOIN tags ON tags.id = tag_id WHERE name = 'of-{}' ORDER BY 1"
TAGGED_ALL = "SELECT count(*) FROM trace_tags JOIN tags ON id = tag_id WHERE name = 'all'"


async def contributed(server: RunningServer, number: int, *tags: str) -> str:
    return (await server.traces.CreateTrace(a_contribution(number, tags=tags), metadata=ADA)).created.id


async def purged(server: RunningServer, trace_id: str) -> str:
    return await reason_of(server.traces.PurgeTrace(pb.PurgeTraceRequest(trace_id=trace_id), metadata=EVE))


async def test_every_row_that_refers_to_a_trace_is_tried(database_url: str) -> None:
    assert {name for (name,) in await query(database_url, REFERENCES)} == ADDED.keys()


@pytest.mark.parametrize("added", ADDED.values(), ids=ADDED.keys())
async def test_a_row_that_is_about_to_refer_to_it_is_erased_with_it(
    server: RunningServer, database_url: str, added: str
) -> None:
    trace, other = await contributed(server, 1, "python"), await contributed(server, 2, "other")
    # Whoever adds it has not looked for purges: the reference alone holds them off.
    async with held(database_url, added.format(trace=trace, other=other)):
        purging = asyncio.create_task(purged(server, trace))
        await until_waiting(database_url)
    assert await purging == "OK"
    assert (await mentions(database_url, trace)).keys() == {"purged_traces", "trace_events"}
    assert await out_of_date(database_url) == 0


async def test_a_purge_waits_for_a_merge_under_way(server: RunningServer, database_url: str) -> None:
    trace, _ = await contributed(server, 1, "old"), await contributed(server, 2, "old")
    async with server.database.unit_of_work() as work:
        assert (await tag_service.merge("old", "new", IN_COMMONS, work)).moved_trace_count == 2
        purging = asyncio.create_task(purged(server, trace))
        await until_waiting(database_url)
    assert await purging == "OK"
    assert await query(database_url, "SELECT count(*) FROM trace_tags") == [(1,)]


async def test_a_merge_waits_for_a_purge_under_way(server: RunningServer, database_url: str) -> None:
    trace, _ = await contributed(server, 1, "old"), await contributed(server, 2, "old")
    merge = tag_pb.MergeTagsRequest(source="old", target="new")
    async with server.database.unit_of_work() as work:
        await trace_moderation.purge(UUID(trace), work, "eve@example.org", COMMONS_ONLY)
        merging = asyncio.ensure_future(server.tags.MergeTags(merge, metadata=EVE))
        await until_waiting(database_url)
    assert (await merging).moved_trace_count == 1
    assert await query(database_url, "SELECT count(*) FROM trace_tags") == [(1,)]


async def test_queueing_what_misses_its_vector_waits_for_a_purge_under_way(
    server: RunningServer, database_url: str
) -> None:
    traces = [await contributed(server, number) for number in range(3)]
    # A model that the database had before made these vectors.
    await administer(database_url, "UPDATE traces SET embedding_model_version = 'earlier'")
    async with server.database.unit_of_work() as work:
        await trace_moderation.purge(UUID(traces[1]), work, "eve@example.org", COMMONS_ONLY)
        queueing = asyncio.create_task(requeue(server.database))
        await until_waiting(database_url)
    assert await queueing == 2


@pytest.mark.parametrize("comes", ["before", "never"])
async def test_a_successor_that_comes_before_the_lock_is_locked_too(
    server: RunningServer, database_url: str, comes: str
) -> None:
    trace, is_new = await contributed(server, 1), comes == "before"
    succession = a_contribution(3, supersedes_trace_id=trace)
    async with held(database_url, f"SELECT FROM traces WHERE id = '{trace}' FOR UPDATE"):
        succeeding = asyncio.ensure_future(server.traces.CreateTrace(succession, metadata=ADA)) if is_new else None
        await until_waiting(database_url, int(is_new))
        purging = asyncio.create_task(purged(server, trace))
        await until_waiting(database_url, 1 + is_new)
    assert await purging == "OK"
    if succeeding is not None:
        events = await query(database_url, EVENTS.format((await succeeding).created.id))
        assert [event for (event,) in events] == ["created", "updated"]
    assert await query(database_url, LEFT.format(trace)) == [(0,)]


@pytest.mark.parametrize("rpc", ["ImportTraces", "DeleteTrace"])
async def test_who_waits_for_a_merge_holds_no_signs_that_it_needs(
    server: RunningServer, database_url: str, rpc: str
) -> None:
    old = await contributed(server, 1)
    successor = a_contribution(2, supersedes_trace_id=old)
    writing: asyncio.Future[object]
    if rpc == "DeleteTrace":
        new = (await server.traces.CreateTrace(successor, metadata=ADA)).created.id
    async with held(database_url, f"SELECT pg_advisory_xact_lock({MERGES})"):
        if rpc == "DeleteTrace":
            delete = server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=new), metadata=ADA)
            writing = asyncio.ensure_future(reason_of(delete))
        else:
            writing = asyncio.ensure_future(imported(server.traces, a_record(2, supersedes_trace_id=old)))
        await until_waiting(database_url)
        assert await query(database_url, SIGNS.format(old)) == [(1,)]
    await writing
    assert await query(database_url, IS_SUPERSEDED.format(old)) == [(rpc == "ImportTraces",)]


async def test_many_purges_beside_merges_all_succeed(server: RunningServer, database_url: str) -> None:
    first = await contributed(server, 1)
    for statement in (
        copies_of(first, 1 + ROUNDS * TAGGED),
        TAGS.format(ROUNDS),
        TAG_ALL_OTHERS.format(first, ROUNDS),
    ):
        await administer(database_url, statement)
    merges: Counter[str] = Counter()
    purges: Counter[str] = Counter()
    for number in range(ROUNDS):
        traces = [trace for (trace,) in await query(database_url, OF_ROUND.format(number))]
        merge = tag_pb.MergeTagsRequest(source=f"of-{number}", target="all")
        merged, *outcomes = await asyncio.gather(
            reason_of(server.tags.MergeTags(merge, metadata=EVE)),
            *(purged(server, trace) for trace in traces[-PURGED:]),
        )
        merges[merged] += 1
        purges.update(outcomes)
    assert (merges, purges) == ({"OK": ROUNDS}, {"OK": ROUNDS * PURGED})
    assert await query(database_url, TAGGED_ALL) == [(ROUNDS * (TAGGED - PURGED),)]
    assert await out_of_date(database_url) == 0
