import asyncio
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict

from commontrace.v1 import trace_pb2, vote_pb2, vote_service_pb2
from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import RunningServer, query
from tests.contract.callers import ADA, BOB, EVE, caller, reason_of, refused
from tests.support.builders import a_contribution, hits_of, search


async def update(
    server: RunningServer, trace_id: str, etag: str = "", request_id: str = "", **values: Any
) -> pb.UpdateTraceResponse:
    trace = trace_pb2.Trace(id=trace_id, **values)
    mask = FieldMask(paths=list(values))
    request = pb.UpdateTraceRequest(trace=trace, update_mask=mask, etag=etag, request_id=request_id)
    return await server.traces.UpdateTrace(request, metadata=ADA)


async def create(server: RunningServer, number: int = 0, **changes: Any) -> trace_pb2.Trace:
    return (await server.traces.CreateTrace(a_contribution(number, **changes), metadata=ADA)).created


async def get(server: RunningServer, trace_id: str) -> trace_pb2.Trace:
    return (await server.traces.GetTrace(pb.GetTraceRequest(trace_id=trace_id))).trace


async def vote(
    server: RunningServer, trace_id: str, voter: Any, revision: int = 0
) -> vote_service_pb2.CastVoteResponse:
    request = vote_service_pb2.CastVoteRequest(trace_id=trace_id, type=vote_pb2.VOTE_TYPE_UP, revision=revision)
    return await server.votes.CastVote(request, metadata=voter)


async def test_another_text_is_a_new_revision_found_by_its_new_meaning(server: RunningServer) -> None:
    trace = await create(server)
    await create(server, title="A sponge cake", context="It collapses.", solution="Bake it longer.")
    response = await update(server, trace.id, title="Kittens", context="They miaow.", solution="Feed the cats.")
    edited = response.trace
    assert (edited.title, edited.context, edited.solution) == ("Kittens", "They miaow.", "Feed the cats.")
    assert (edited.revision, edited.tags) == (2, trace.tags)
    assert edited.create_time == trace.create_time
    assert edited.update_time.ToNanoseconds() > trace.update_time.ToNanoseconds()
    assert edited.etag != trace.etag
    assert 0 < response.tokens_read == response.tokens_total
    assert await get(server, trace.id) == edited
    [hit] = hits_of(await search(server.traces, text="hungry cat", limit=1))
    assert hit.trace == edited


@pytest.mark.parametrize(
    "values",
    [{"tags": ["b", "A"]}, {"agent_model": "m"}, {"agent_version": "2"}, {"metadata": {"k": 1}}, {"tags": []}],
    ids=lambda values: str(values),
)
async def test_what_is_not_text_makes_no_revision(server: RunningServer, values: dict[str, Any]) -> None:
    trace = await create(server, tags=["python"])
    response = await update(server, trace.id, **values)
    assert (response.trace.revision, response.tokens_read, response.tokens_total) == (1, 0, 0)
    assert response.trace.etag != trace.etag
    assert MessageToDict(response.trace).get("tags", []) == sorted(map(str.lower, values.get("tags", ["python"])))
    again = await update(server, trace.id, **values)
    assert again.trace == response.trace, "the same again is no edit"


async def test_metadata_is_replaced_as_a_whole_and_true_is_not_one(server: RunningServer) -> None:
    trace = await create(server)
    values: list[dict[str, Any]] = [{"a": True, "b": {"c": [1]}}, {"a": 1, "b": {"c": [1]}}, {"b": {"d": 2}}, {}]
    for metadata in values:
        edited = (await update(server, trace.id, metadata=metadata)).trace
        assert MessageToDict(edited.metadata) == metadata
        assert isinstance(MessageToDict(edited.metadata).get("a"), bool) == (metadata.get("a") is True)


async def test_the_same_text_is_no_edit(server: RunningServer) -> None:
    trace = await create(server)
    response = await update(server, trace.id, title=trace.title, context=trace.context, solution=trace.solution)
    assert response.trace == trace
    history = await server.traces.ListTraceRevisions(pb.ListTraceRevisionsRequest(trace_id=trace.id))
    assert [revision.revision for revision in history.revisions] == [1]


async def test_history_says_who_when_and_what(server: RunningServer) -> None:
    trace = await create(server)
    second = (await update(server, trace.id, title="Second")).trace
    third = (await update(server, trace.id, context="Third", solution="Third")).trace
    request = pb.ListTraceRevisionsRequest(trace_id=trace.id, view=trace_pb2.TRACE_VIEW_FULL)
    revisions = (await server.traces.ListTraceRevisions(request)).revisions
    assert [(r.revision, list(r.changed_fields), r.title, r.context, r.solution) for r in revisions] == [
        (3, ["context", "solution"], "Second", "Third", "Third"),
        (2, ["title"], "Second", trace.context, trace.solution),
        (1, ["title", "context", "solution"], trace.title, trace.context, trace.solution),
    ]
    assert {r.editor_id for r in revisions} == {trace.contributor_id}
    assert [r.create_time for r in revisions] == [third.update_time, second.update_time, trace.create_time]


async def test_only_the_owner_edits_and_deletes(server: RunningServer) -> None:
    trace = await create(server)
    request = pb.UpdateTraceRequest(trace=trace, update_mask=FieldMask(paths=["title"]))
    for metadata in (BOB, None):
        async with refused("NOT_OWNER", trace_id=trace.id):
            await server.traces.UpdateTrace(request, metadata=metadata)
        async with refused("NOT_OWNER", trace_id=trace.id):
            await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=trace.id), metadata=metadata)
        async with refused("NOT_OWNER", trace_id=trace.id):
            await server.traces.UndeleteTrace(pb.UndeleteTraceRequest(trace_id=trace.id), metadata=metadata)
    assert await get(server, trace.id) == trace


async def test_a_stale_etag_is_refused_and_names_the_current_one(server: RunningServer) -> None:
    trace = await create(server)
    current = (await update(server, trace.id, trace.etag, tags=["a"])).trace
    async with refused("STALE_ETAG", trace_id=trace.id, current_etag=current.etag):
        await update(server, trace.id, trace.etag, title="Other")
    async with refused("STALE_ETAG", current_etag=current.etag):
        stale = pb.DeleteTraceRequest(trace_id=trace.id, etag=trace.etag)
        await server.traces.DeleteTrace(stale, metadata=ADA)
    await vote(server, trace.id, BOB)
    assert (await get(server, trace.id)).etag == current.etag, "votes are no edits"
    await update(server, trace.id, current.etag, title="Other")


async def test_an_edit_cannot_become_a_duplicate(server: RunningServer) -> None:
    trace, other = await create(server), await create(server, 1)
    texts = {"title": other.title, "context": other.context, "solution": other.solution}
    async with refused("DUPLICATE_TRACE", trace_id=other.id):
        await update(server, trace.id, **texts)
    assert await get(server, trace.id) == trace
    allowed = await create(server, on_duplicate=trace_pb2.ON_DUPLICATE_ALLOW)
    assert (await update(server, allowed.id, **texts)).trace.title == other.title
    # The content that it left is free again.
    await update(server, trace.id, title="Elsewhere")
    assert (await server.traces.CreateTrace(a_contribution())).WhichOneof("outcome") == "created"


async def test_of_many_edits_with_one_etag_one_wins(server: RunningServer) -> None:
    trace = await create(server)
    edits = (reason_of(update(server, trace.id, trace.etag, title=f"Title {number}")) for number in range(10))
    assert sorted(await asyncio.gather(*edits)) == ["OK"] + ["STALE_ETAG"] * 9


async def test_edits_of_different_fields_at_once_all_hold(server: RunningServer) -> None:
    trace = await create(server)
    edits: list[dict[str, Any]] = [
        {"title": "T"},
        {"context": "C"},
        {"solution": "S"},
        {"tags": ["t"]},
        {"agent_model": "m"},
        {"metadata": {"k": "v"}},
    ]
    await asyncio.gather(*(update(server, trace.id, **values) for values in edits))
    edited = await get(server, trace.id)
    assert (edited.title, edited.context, edited.solution, list(edited.tags)) == ("T", "C", "S", ["t"])
    assert (edited.agent_model, MessageToDict(edited.metadata), edited.revision) == ("m", {"k": "v"}, 4)
    [hit] = hits_of(await search(server.traces, text="T\n\nC\n\nS", limit=1))
    assert hit.similarity > 0.999, "the vector is of the text that is there"


async def test_a_new_revision_starts_without_confirmations(server: RunningServer) -> None:
    trace = await create(server)
    await vote(server, trace.id, BOB)
    assert (await vote(server, trace.id, EVE)).tally.status == trace_pb2.TRACE_STATUS_VALIDATED
    edited = (await update(server, trace.id, solution="Something else")).trace
    assert (edited.status, edited.confirmation_count, edited.trust_score) == (trace_pb2.TRACE_STATUS_PENDING, 0, 0.0)
    async with refused("REVISION_NOT_CURRENT", current_revision="2"):
        await vote(server, trace.id, BOB, revision=1)
    assert (await vote(server, trace.id, BOB)).tally.confirmation_count == 1


async def test_a_vote_that_races_an_edit_never_counts_for_a_text_its_voter_did_not_see(
    server: RunningServer, database_url: str
) -> None:
    trace = await create(server)
    voters = [caller(number) for number in range(10)]
    accepted: dict[int, int] = {}
    done = asyncio.Event()

    async def edit() -> None:
        for number in range(12):
            await update(server, trace.id, solution=f"Solution {number}")
        done.set()

    async def read_and_vote(number: int) -> None:
        while not done.is_set():
            seen = (await get(server, trace.id)).revision
            if await reason_of(vote(server, trace.id, voters[number], revision=seen)) == "OK":
                accepted[number] = seen

    await asyncio.gather(edit(), *map(read_and_vote, range(10)))
    current = await get(server, trace.id)
    assert current.revision == 13
    assert current.confirmation_count == sum(revision == 13 for revision in accepted.values())
    votes = await query(database_url, "SELECT email, revision FROM votes JOIN users ON users.id = voter_id")
    assert {(row.email, row.revision) for row in votes} == {
        (f"user{number}@example.org", revision) for number, revision in accepted.items()
    }


async def test_a_deleted_trace_is_gone_and_comes_back_with_its_votes(server: RunningServer) -> None:
    trace = await create(server)
    await vote(server, trace.id, BOB)
    await vote(server, trace.id, EVE)
    before = await get(server, trace.id)
    deleted = (await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=trace.id), metadata=ADA)).trace
    assert deleted.HasField("delete_time")
    assert hits_of(await search(server.traces, text="number")) == []
    for call in (
        server.traces.GetTrace(pb.GetTraceRequest(trace_id=trace.id)),
        server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=trace.id), metadata=ADA),
        update(server, trace.id, title="Other"),
        vote(server, trace.id, BOB),
        server.traces.ListTraceRevisions(pb.ListTraceRevisionsRequest(trace_id=trace.id)),
        server.traces.CreateTrace(a_contribution(1, supersedes_trace_id=trace.id), metadata=ADA),
        server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=trace.id), metadata=BOB),
    ):
        assert await reason_of(call) == "TRACE_NOT_FOUND"
    back = await server.traces.UndeleteTrace(pb.UndeleteTraceRequest(trace_id=trace.id), metadata=ADA)
    assert await get(server, trace.id) == before
    assert not back.trace.HasField("delete_time")
    again = await server.traces.UndeleteTrace(pb.UndeleteTraceRequest(trace_id=trace.id), metadata=ADA)
    assert again == back
