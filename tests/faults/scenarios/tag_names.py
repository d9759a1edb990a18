"""One user brings thousands of new names of tags: what a search reads does not grow, and a quota ends it."""

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import grpc

from commontrace.domain.limits import TAGS
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_record_pb2 import TraceRecord
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.contract.imports.imports import a_record, acknowledged, message
from tests.faults.harness.beside import Beside, beside
from tests.faults.harness.callers import callers_of
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.servers import server
from tests.support.keys import Metadata

_TRACES, _NAMES, _QUOTA, _TRACES_A_MESSAGE = 1_000, 5_000, 1_000, 25
_SEARCHES = 20
_MOST_TIMES = 1.5
# Every page of a table or an index of ours, in memory or not.
_PAGES = """
SELECT sum(heap_blks_read + heap_blks_hit + coalesce(idx_blks_read + idx_blks_hit, 0)
    + coalesce(toast_blks_read + toast_blks_hit + tidx_blks_read + tidx_blks_hit, 0))
FROM pg_statio_user_tables
"""
_UNENCODED = "SELECT count(*) FROM encoding_jobs"


async def measure(trial: Trial) -> list[Figure]:
    """Unprotected: a search asks for the names of a trace's tags in their order, and nobody has a quota."""
    names = trial.times(_NAMES)
    with server(trial, "tag names", QUOTA_TAG_NAMES_PER_DAY="0") as running:
        other = await callers_of(running).metadata("other@example.org")
        async with beside(running) as database, grpc.aio.insecure_channel(running.address) as channel:
            traces = TraceServiceStub(channel)
            await _store(traces, [a_record(number) for number in range(trial.times(_TRACES))], other)
            await database.ask("VACUUM (ANALYZE)")
            before = await _pages(database, traces, other)
            await _store(traces, list(_with_names("new", names)), other)
            after = await _pages(database, traces, other)
            [[known]] = await database.ask("SELECT count(*) FROM tags")
    quota = {} if trial.protected else {"QUOTA_TAG_NAMES_PER_DAY": "0"}
    with server(trial, "tag names", **quota) as running:
        async with beside(running) as database, grpc.aio.insecure_channel(running.address) as channel:
            await _store(TraceServiceStub(channel), list(_with_names("more", max(names, 2 * _QUOTA))), other)
            [[stored]] = await database.ask("SELECT count(*) FROM tags WHERE name LIKE 'more-%'")
    return [
        Figure(
            name="new names of tags: pages that a search reads",
            target=f"at most {_MOST_TIMES:g} times as many as before",
            measured=f"{after:,.0f} with {known:,} names, {before:,.0f} before",
            ok=after <= _MOST_TIMES * before,
        ),
        Figure(
            name="new names of tags stored in a day, by default",
            target=f"at most {_QUOTA:,}",
            measured=f"{stored:,} of {max(names, 2 * _QUOTA):,}",
            ok=0 < stored <= _QUOTA,
        ),
    ]


def _with_names(prefix: str, count: int) -> Iterator[TraceRecord]:
    for first in range(0, count, TAGS):
        tags = [f"{prefix}-{number}" for number in range(first, min(first + TAGS, count))]
        yield a_record(title=f"Import of {prefix} {first}", tags=tags)


async def _store(traces: TraceServiceStub, records: list[TraceRecord], caller: Metadata) -> None:
    requests = [
        message(records[first : first + _TRACES_A_MESSAGE], first=first + 1)
        for first in range(0, len(records), _TRACES_A_MESSAGE)
    ]
    requests[0].import_id = str(uuid4())
    await acknowledged(traces, *requests, caller=caller)


async def _pages(database: Beside, traces: TraceServiceStub, caller: Metadata) -> float:
    """Returns how many pages a search reads."""
    while (await database.ask(_UNENCODED))[0][0]:  # noqa: ASYNC110 - another process encodes
        await asyncio.sleep(0.1)
    before = await database.counted(_PAGES)
    for _ in range(_SEARCHES):
        async for _ in traces.SearchTraces(pb.SearchTracesRequest(text="which number?", limit=10), metadata=caller):
            pass
    return (await database.counted(_PAGES) - before) / _SEARCHES
