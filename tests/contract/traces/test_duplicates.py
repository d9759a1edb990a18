import asyncio
from typing import Any
from uuid import uuid4

import pytest

from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import RunningServer
from tests.contract.callers import ADA, BOB, refused
from tests.support.builders import a_contribution, hits_of, search

SPELLINGS: tuple[dict[str, Any], ...] = (
    {"title": "Trace number 0 \n"},
    {"context": "Problem number 0 appeared.\r\n"},
    {"solution": "Solution number 0 made it go away.\t \u00a0"},
)


async def count(server: RunningServer) -> int:
    return len(hits_of(await search(server.traces, text="number", limit=100)))


@pytest.mark.parametrize("on_duplicate", [trace_pb2.ON_DUPLICATE_UNSPECIFIED, trace_pb2.ON_DUPLICATE_RETURN_EXISTING])
async def test_a_duplicate_returns_what_is_there_whoever_wrote_it(
    server: RunningServer, on_duplicate: trace_pb2.OnDuplicate.ValueType
) -> None:
    first = await server.traces.CreateTrace(a_contribution(), metadata=ADA)
    assert first.WhichOneof("outcome") == "created"
    again = a_contribution(tags=["other"], agent_model="other", on_duplicate=on_duplicate)
    second = await server.traces.CreateTrace(again, metadata=BOB)
    assert second.WhichOneof("outcome") == "existing"
    assert second.existing == first.created
    assert (second.tokens_read, second.tokens_total, list(second.similar)) == (0, 0, [])
    assert await count(server) == 1


@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda spelling: next(iter(spelling)))
async def test_line_ends_and_space_at_the_end_make_no_difference(
    server: RunningServer, spelling: dict[str, Any]
) -> None:
    first = (await server.traces.CreateTrace(a_contribution())).created
    assert (await server.traces.CreateTrace(a_contribution(**spelling))).existing.id == first.id


async def test_composed_and_decomposed_letters_are_the_same_content(server: RunningServer) -> None:
    first = (await server.traces.CreateTrace(a_contribution(title="caf\u00e9"))).created
    assert (await server.traces.CreateTrace(a_contribution(title="cafe\u0301"))).existing.id == first.id


async def test_the_same_characters_in_other_fields_are_other_content(server: RunningServer) -> None:
    for texts in (("ab", "c", "d"), ("a", "bc", "d"), ("a", "b", "cd")):
        title, context, solution = texts
        response = await server.traces.CreateTrace(
            pb.CreateTraceRequest(title=title, context=context, solution=solution)
        )
        assert response.WhichOneof("outcome") == "created"


async def test_rejecting_names_the_existing_trace(server: RunningServer) -> None:
    first = (await server.traces.CreateTrace(a_contribution())).created
    async with refused("DUPLICATE_TRACE", trace_id=first.id):
        await server.traces.CreateTrace(a_contribution(on_duplicate=trace_pb2.ON_DUPLICATE_REJECT))


async def test_allowed_duplicates_stand_beside_and_do_not_count(server: RunningServer) -> None:
    allowed = a_contribution(on_duplicate=trace_pb2.ON_DUPLICATE_ALLOW)
    ids = {(await server.traces.CreateTrace(allowed)).created.id for _ in range(3)}
    # None of them is what others are duplicates of.
    counted = (await server.traces.CreateTrace(a_contribution(on_duplicate=trace_pb2.ON_DUPLICATE_REJECT))).created.id
    assert len({*ids, counted}) == await count(server) == 4
    assert (await server.traces.CreateTrace(a_contribution())).existing.id == counted


async def test_a_deleted_trace_is_no_duplicate(server: RunningServer) -> None:
    first = (await server.traces.CreateTrace(a_contribution())).created
    await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=first.id))
    second = (await server.traces.CreateTrace(a_contribution())).created
    assert second.id != first.id
    async with refused("DUPLICATE_TRACE", trace_id=second.id):
        await server.traces.UndeleteTrace(pb.UndeleteTraceRequest(trace_id=first.id))


async def test_of_many_at_once_one_is_stored(server: RunningServer) -> None:
    responses = await asyncio.gather(*(server.traces.CreateTrace(a_contribution()) for _ in range(30)))
    outcomes = [str(response.WhichOneof("outcome")) for response in responses]
    assert sorted(outcomes) == ["created"] + ["existing"] * 29
    assert len({response.created.id or response.existing.id for response in responses}) == 1
    assert await count(server) == 1


async def test_contributions_and_deletions_of_one_content_at_once(server: RunningServer) -> None:
    async def contribute_and_delete() -> None:
        for _ in range(5):
            response = await server.traces.CreateTrace(a_contribution())
            if response.WhichOneof("outcome") == "created":
                await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=response.created.id))

    await asyncio.gather(*(contribute_and_delete() for _ in range(8)))
    assert await count(server) == 0


async def test_near_duplicates_are_reported_and_stored(server: RunningServer) -> None:
    first = (await server.traces.CreateTrace(a_contribution(title="How to fix the build"))).created
    await server.traces.CreateTrace(
        pb.CreateTraceRequest(title="A cake", context="It collapses in the oven.", solution="Bake it longer.")
    )
    second = await server.traces.CreateTrace(a_contribution(title="How to fix the build!"))
    assert second.WhichOneof("outcome") == "created"
    [similar] = second.similar
    assert (similar.trace_id, similar.title) == (first.id, first.title)
    assert 0.95 <= similar.similarity <= 1.0


async def test_validating_stores_nothing_and_answers_the_same(server: RunningServer) -> None:
    tried = await server.traces.CreateTrace(a_contribution(tags=["B", "a"], validate_only=True), metadata=ADA)
    assert await count(server) == 0
    info = await server.traces.GetServiceInfo(pb.GetServiceInfoRequest(), metadata=ADA)
    assert info.caller.user_id == ""
    stored = await server.traces.CreateTrace(a_contribution(tags=["B", "a"]), metadata=ADA)
    for field in ("id", "create_time", "update_time", "etag", "contributor_id"):
        stored.created.ClearField(field)
    # There is no such user yet, and after the roll-back none again.
    tried.created.ClearField("contributor_id")
    assert tried == stored
    tried = await server.traces.CreateTrace(a_contribution(validate_only=True), metadata=BOB)
    assert tried.WhichOneof("outcome") == "existing"
    async with refused("DUPLICATE_TRACE"):
        rejecting = a_contribution(validate_only=True, on_duplicate=trace_pb2.ON_DUPLICATE_REJECT)
        await server.traces.CreateTrace(rejecting, metadata=BOB)
    async with refused("TRACE_NOT_FOUND"):
        replacing = a_contribution(1, validate_only=True, supersedes_trace_id=str(uuid4()))
        await server.traces.CreateTrace(replacing, metadata=BOB)
