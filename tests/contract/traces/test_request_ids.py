import asyncio
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from commontrace.core.cleanup import delete_expired_answers
from commontrace.v1 import tag_pb2, tag_service_pb2, trace_pb2, vote_pb2, vote_service_pb2
from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import RunningServer, administer, query
from tests.contract.callers import ADA, BOB, reason_of, refused
from tests.support.builders import a_contribution, hits_of, search

ALLOW = trace_pb2.ON_DUPLICATE_ALLOW


async def count(server: RunningServer) -> int:
    return len(hits_of(await search(server.traces, text="number", limit=100)))


async def test_the_same_request_again_gets_the_stored_answer(server: RunningServer) -> None:
    request = a_contribution(on_duplicate=ALLOW, request_id=str(uuid4()))
    first = await server.traces.CreateTrace(request)
    request.request_id = request.request_id.upper()
    assert await server.traces.CreateTrace(request) == first
    assert await count(server) == 1


async def test_another_request_under_the_id_is_refused(server: RunningServer) -> None:
    request_id = str(uuid4())
    await server.traces.CreateTrace(a_contribution(0, request_id=request_id))
    async with refused("REQUEST_ID_REUSED", request_id=request_id):
        await server.traces.CreateTrace(a_contribution(1, request_id=request_id))
    assert await count(server) == 1


async def test_fields_that_the_server_does_not_know_make_no_difference(server: RunningServer) -> None:
    request = a_contribution(on_duplicate=ALLOW, request_id=str(uuid4()))
    first = await server.traces.CreateTrace(request)
    newer = pb.CreateTraceRequest.FromString(request.SerializeToString() + b"\xc2\x3e\x03new")
    assert await server.traces.CreateTrace(newer) == first


async def test_an_id_belongs_to_a_caller_and_a_method(server: RunningServer) -> None:
    request_id = str(uuid4())
    request = a_contribution(on_duplicate=ALLOW, request_id=request_id)
    mine = (await server.traces.CreateTrace(request, metadata=ADA)).created
    others = (await server.traces.CreateTrace(request, metadata=BOB)).created
    assert mine.id != others.id
    delete = pb.DeleteTraceRequest(trace_id=mine.id, request_id=request_id)
    assert (await server.traces.DeleteTrace(delete, metadata=ADA)).trace.id == mine.id


async def test_what_failed_may_be_tried_again_under_its_id(server: RunningServer) -> None:
    request_id = str(uuid4())
    first = (await server.traces.CreateTrace(a_contribution())).created
    request = a_contribution(on_duplicate=trace_pb2.ON_DUPLICATE_REJECT, request_id=request_id)
    async with refused("DUPLICATE_TRACE"):
        await server.traces.CreateTrace(request)
    await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=first.id))
    created = await server.traces.CreateTrace(request)
    assert await server.traces.CreateTrace(request) == created


async def test_trying_leaves_the_id_unused(server: RunningServer) -> None:
    request = a_contribution(request_id=str(uuid4()), validate_only=True)
    await server.traces.CreateTrace(request)
    request.validate_only = False
    assert (await server.traces.CreateTrace(request)).created.id


async def test_twins_at_once_are_carried_out_once(server: RunningServer) -> None:
    request = a_contribution(on_duplicate=ALLOW, request_id=str(uuid4()))
    answers = await asyncio.gather(*(server.traces.CreateTrace(request) for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    assert await count(server) == 1


async def test_twins_of_every_write_get_one_answer(server: RunningServer) -> None:
    """Carried out twice, each of these would fail or answer otherwise the second time."""
    trace = (await server.traces.CreateTrace(a_contribution(), metadata=ADA)).created
    name = tag_pb2.Tag(name="python", description="a language")
    edited = trace_pb2.Trace(id=trace.id, title="Other")
    writes: list[tuple[Any, Message, Any]] = [
        (server.traces.CreateTrace, a_contribution(1, on_duplicate=trace_pb2.ON_DUPLICATE_REJECT), ADA),
        (
            server.traces.UpdateTrace,
            pb.UpdateTraceRequest(trace=edited, update_mask=FieldMask(paths=["title"]), etag=trace.etag),
            ADA,
        ),
        (server.votes.CastVote, vote_service_pb2.CastVoteRequest(trace_id=trace.id, type=vote_pb2.VOTE_TYPE_UP), BOB),
        (server.votes.RetractVote, vote_service_pb2.RetractVoteRequest(trace_id=trace.id), BOB),
        (
            server.tags.UpdateTag,
            tag_service_pb2.UpdateTagRequest(tag=name, update_mask=FieldMask(paths=["description"])),
            BOB,
        ),
        (server.tags.MergeTags, tag_service_pb2.MergeTagsRequest(source="python", target="snake"), BOB),
        (server.traces.DeleteTrace, pb.DeleteTraceRequest(trace_id=trace.id), ADA),
        (server.traces.UndeleteTrace, pb.UndeleteTraceRequest(trace_id=trace.id), ADA),
    ]
    for method, request, metadata in writes:
        request.request_id = str(uuid4())  # type: ignore[attr-defined] # each has one
        answers = await asyncio.gather(*(method(request, metadata=metadata) for _ in range(6)))
        answers.append(await method(request, metadata=metadata))
        assert all(answer == answers[0] for answer in answers), method


async def test_an_answer_is_kept_for_a_day(server: RunningServer, database_url: str) -> None:
    requests = [a_contribution(number, on_duplicate=ALLOW, request_id=str(uuid4())) for number in range(3)]
    first, second, third = [await server.traces.CreateTrace(request) for request in requests]
    await administer(database_url, "UPDATE idempotent_requests SET created_at = now() - interval '23 hours 59 minutes'")
    assert await server.traces.CreateTrace(requests[0]) == first
    expire = "UPDATE idempotent_requests SET created_at = now() - interval '24 hours 1 minute' WHERE request_id = '{}'"
    for request in requests[1:]:
        await administer(database_url, expire.format(request.request_id))
    assert (await server.traces.CreateTrace(requests[1])).created.id != second.created.id
    other_fields = a_contribution(7, request_id=requests[2].request_id)
    assert (await server.traces.CreateTrace(other_fields)).created.id != third.created.id


async def test_expired_answers_are_removed(server: RunningServer, database_url: str) -> None:
    for number in range(25):
        await server.traces.CreateTrace(a_contribution(number, request_id=str(uuid4())))
    old = "UPDATE idempotent_requests SET created_at = now() - interval '25 hours' WHERE ctid IN (SELECT ctid FROM {})"
    await administer(database_url, old.format("idempotent_requests LIMIT 20"))
    assert await delete_expired_answers(server.database, batch=7) == 20
    assert await delete_expired_answers(server.database, batch=7) == 0
    assert await query(database_url, "SELECT count(*) FROM idempotent_requests") == [(5,)]


@pytest.mark.parametrize("request_id", ["", "x"])
async def test_without_an_id_a_write_happens_each_time(server: RunningServer, request_id: str) -> None:
    request = a_contribution(on_duplicate=ALLOW, request_id=request_id)
    outcomes = [await reason_of(server.traces.CreateTrace(request)) for _ in range(2)]
    assert outcomes == (["MALFORMED_ID"] * 2 if request_id else ["OK"] * 2)
    assert await count(server) == (0 if request_id else 2)
