import asyncio

from commontrace.v1 import trace_filter_pb2, trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import RunningServer
from tests.contract.callers import ADA, BOB, reason_of, refused
from tests.support.builders import a_contribution, hits_of, search


async def create(server: RunningServer, number: int, supersedes: str = "", **changes: object) -> trace_pb2.Trace:
    request = a_contribution(number, supersedes_trace_id=supersedes, **changes)
    return (await server.traces.CreateTrace(request, metadata=ADA)).created


async def get(server: RunningServer, trace_id: str) -> trace_pb2.Trace:
    return (await server.traces.GetTrace(pb.GetTraceRequest(trace_id=trace_id))).trace


async def found(server: RunningServer, *, superseded: bool = False) -> set[str]:
    everything = trace_filter_pb2.TraceFilter(include_superseded=superseded)
    return {hit.trace.id for hit in hits_of(await search(server.traces, text="number", limit=50, filter=everything))}


async def test_the_old_trace_leaves_search_and_names_its_successor(server: RunningServer) -> None:
    old = await create(server, 0)
    new = await create(server, 1, old.id)
    assert new.supersedes_trace_id == old.id
    assert await found(server) == {new.id}
    assert await found(server, superseded=True) == {old.id, new.id}
    left = await get(server, old.id)
    assert left.superseded_by_trace_id == new.id
    assert (left.update_time, left.etag) == (old.update_time, old.etag)


async def test_it_returns_when_its_successor_is_deleted(server: RunningServer) -> None:
    old = await create(server, 0)
    new = await create(server, 1, old.id)
    await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=new.id), metadata=ADA)
    assert await found(server) == {old.id}
    assert (await get(server, old.id)).superseded_by_trace_id == ""
    await server.traces.UndeleteTrace(pb.UndeleteTraceRequest(trace_id=new.id), metadata=ADA)
    assert await found(server) == {new.id}
    assert (await get(server, old.id)).superseded_by_trace_id == new.id


async def test_a_second_successor_is_refused_also_by_undeleting(server: RunningServer) -> None:
    old = await create(server, 0)
    first = await create(server, 1, old.id)
    async with refused("ALREADY_SUPERSEDED", trace_id=old.id, superseded_by_trace_id=first.id):
        await create(server, 2, old.id)
    await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=first.id), metadata=ADA)
    second = await create(server, 2, old.id)
    async with refused("ALREADY_SUPERSEDED", trace_id=old.id, superseded_by_trace_id=second.id):
        await server.traces.UndeleteTrace(pb.UndeleteTraceRequest(trace_id=first.id), metadata=ADA)
    assert await found(server) == {second.id}


async def test_only_ones_own_live_trace_of_other_content_is_replaced(server: RunningServer) -> None:
    old = await create(server, 0)
    async with refused("NOT_OWNER", trace_id=old.id):
        await server.traces.CreateTrace(a_contribution(1, supersedes_trace_id=old.id), metadata=BOB)
    async with refused("DUPLICATE_TRACE", trace_id=old.id):
        await create(server, 0, old.id)
    async with refused("DUPLICATE_TRACE", trace_id=old.id):
        await create(server, 0, old.id, on_duplicate=trace_pb2.ON_DUPLICATE_ALLOW)
    await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=old.id), metadata=ADA)
    async with refused("TRACE_NOT_FOUND", trace_id=old.id):
        await create(server, 1, old.id)
    assert await found(server, superseded=True) == set()


async def test_returning_an_existing_trace_replaces_nothing(server: RunningServer) -> None:
    old, other = await create(server, 0), await create(server, 1)
    request = a_contribution(1, supersedes_trace_id=old.id)
    assert (await server.traces.CreateTrace(request, metadata=ADA)).existing.id == other.id
    assert await found(server) == {old.id, other.id}


async def test_of_many_successors_at_once_one_wins(server: RunningServer) -> None:
    old = await create(server, 0)
    outcomes = await asyncio.gather(*(reason_of(create(server, number, old.id)) for number in range(1, 13)))
    assert sorted(outcomes) == ["ALREADY_SUPERSEDED"] * 11 + ["OK"]
    assert len(await found(server)) == 1


async def test_deleting_and_undeleting_successors_at_once(server: RunningServer) -> None:
    old = await create(server, 0)
    successors = []
    for number in range(1, 5):
        successors.append(await create(server, number, old.id))
        await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=successors[-1].id), metadata=ADA)

    async def back_and_forth(trace_id: str) -> None:
        for _ in range(10):
            undelete = server.traces.UndeleteTrace(pb.UndeleteTraceRequest(trace_id=trace_id), metadata=ADA)
            if await reason_of(undelete) == "OK":
                await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=trace_id), metadata=ADA)

    await asyncio.gather(*(back_and_forth(trace.id) for trace in successors))
    assert await found(server) == {old.id}
    assert (await get(server, old.id)).superseded_by_trace_id == ""
