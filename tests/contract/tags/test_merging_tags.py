import asyncio
from uuid import uuid4

import grpc
import pytest

from commontrace.v1 import tag_service_pb2 as pb
from commontrace.v1 import trace_service_pb2
from tests.conftest import RunningServer, administer
from tests.contract.tags.tag_calls import contribute, get, listed, merge
from tests.support.builders import a_contribution


async def test_a_merge_moves_every_trace_and_those_that_come_later(server: RunningServer, database_url: str) -> None:
    await contribute(server, 1, "old", "kept")
    await contribute(server, 2, "old", "new")
    await contribute(server, 3, "old")
    await contribute(server, 4, "new")
    await administer(database_url, "UPDATE traces SET deleted_at = now() WHERE title LIKE '%3'")
    merged = await merge(server.tags, " OLD ", "New")
    assert merged.moved_trace_count == 3
    assert (merged.tag.name, merged.tag.trace_count, list(merged.tag.aliases)) == ("new", 3, ["old"])
    assert await get(server.tags, "old") == await get(server.tags, "new") == merged.tag
    assert await listed(server.tags) == ["kept", "new"]
    assert await contribute(server, 5, "Old", "new") == ["new"]
    assert (await get(server.tags, "old")).trace_count == 4
    # What was deleted comes back with the tag that stayed.
    await administer(database_url, "UPDATE traces SET deleted_at = NULL")
    assert (await get(server.tags, "old")).trace_count == 5


async def test_neither_name_needs_to_be_in_use(server: RunningServer) -> None:
    merged = await merge(server.tags, "old", "new")
    assert (merged.moved_trace_count, merged.tag.name, list(merged.tag.aliases)) == (0, "new", ["old"])
    assert await listed(server.tags) == ["new"]
    assert await contribute(server, 1, "old") == ["new"]


async def test_names_that_stand_for_one_tag_are_left_as_they_are(server: RunningServer) -> None:
    await contribute(server, 1, "python")
    await merge(server.tags, "snake", "python")
    before = await get(server.tags, "python")
    for source, target in (("python", "Python"), ("py", "python"), ("python", "snake"), ("snake", "python3")):
        assert await merge(server.tags, source, target) == pb.MergeTagsResponse(tag=before)
    assert await listed(server.tags) == ["python"]


async def test_merges_follow_each_other(server: RunningServer) -> None:
    for number, name in enumerate("abc"):
        await contribute(server, number, name)
    await merge(server.tags, "alias-of-a", "a")
    assert (await merge(server.tags, "a", "b")).moved_trace_count == 1
    # Into an alias: what it stands for stays. From an alias: what it stands for goes.
    assert (await merge(server.tags, "c", "alias-of-a")).moved_trace_count == 1
    merged = await merge(server.tags, "a", "d")
    assert merged.moved_trace_count == 3
    assert (merged.tag.name, list(merged.tag.aliases)) == ("d", ["a", "alias-of-a", "b", "c"])
    assert await listed(server.tags) == ["d"]
    assert [(await get(server.tags, name)).name for name in "abcd"] == ["d"] * 4


async def test_starter_aliases_follow_a_merge(server: RunningServer) -> None:
    await contribute(server, 1, "c++")
    merged = await merge(server.tags, "C++", "c-family")
    assert list(merged.tag.aliases) == ["c++", "cplusplus", "cpp"]
    assert await contribute(server, 2, "C++") == ["c-family"]


async def test_a_repeated_merge_is_answered_as_before(server: RunningServer) -> None:
    await contribute(server, 1, "old")
    request = pb.MergeTagsRequest(source="old", target="new", request_id=str(uuid4()))
    first, twin = await asyncio.gather(server.tags.MergeTags(request), server.tags.MergeTags(request))
    await contribute(server, 2, "old")
    assert first.moved_trace_count == 1
    assert first == twin == await server.tags.MergeTags(request)
    request.target = "another"
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await server.tags.MergeTags(request)
    assert failure.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert await listed(server.tags) == ["new"]


async def test_merging_while_others_contribute(server: RunningServer) -> None:
    is_merged, have_stored = asyncio.Event(), asyncio.Semaphore(0)

    async def keep_contributing(worker: int) -> list[str]:
        spellings = [["old"], ["new", "old"], ["OLD", "other"]][worker % 3]
        trace_ids: list[str] = []
        is_last = False
        while not is_last:
            is_last = is_merged.is_set()
            request = a_contribution(100 * worker + len(trace_ids), tags=spellings)
            trace_ids.append((await server.traces.CreateTrace(request)).created.id)
            have_stored.release()
        return trace_ids

    contributing = [asyncio.create_task(keep_contributing(worker)) for worker in range(9)]
    for _ in range(20):
        await have_stored.acquire()
    moved = (await merge(server.tags, "old", "new")).moved_trace_count
    is_merged.set()
    trace_ids = [trace_id for trace_ids in await asyncio.gather(*contributing) for trace_id in trace_ids]
    for trace_id in trace_ids:
        trace = (await server.traces.GetTrace(trace_service_pb2.GetTraceRequest(trace_id=trace_id))).trace
        assert set(trace.tags) - {"other"} == {"new"}
    assert 20 <= moved < len(trace_ids)
    assert await listed(server.tags) == ["new", "other"]
    assert (await get(server.tags, "old")).trace_count == len(trace_ids)
