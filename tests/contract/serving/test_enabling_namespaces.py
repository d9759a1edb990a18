"""Calls on what `commontrace namespaces enable` renames: before, on a server that runs meanwhile, and afterwards."""

from collections.abc import Iterator
from itertools import count

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.storage.namespaces import enabling
from commontrace.v1 import tag_service_pb2 as tag_pb
from commontrace.v1 import trace_pb2, vote_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vote_service_pb2 as vote_pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.conftest import RunningServer, ServerFactory
from tests.contract.callers import ADA, BOB, EVE, reason_of
from tests.contract.events.test_watch import told, watching
from tests.contract.imports.exported_traces import export, ids_of
from tests.contract.imports.imports import a_record, imported
from tests.support.builders import a_contribution, hits_of, search


@pytest.fixture
def numbers() -> Iterator[int]:
    """Numbers of traces and tags, each once."""
    return count(1)


async def use_everything(server: RunningServer, numbers: Iterator[int]) -> None:
    """Makes every call that reads or writes a renamed column, and checks what it shows."""
    number = next(numbers)
    old, new = f"old-{number}", f"new-{number}"
    async with watching(server) as watcher:
        created = await server.traces.CreateTrace(a_contribution(number, tags=[old]), metadata=ADA)
        trace_id = created.created.id
        await _vote(server, trace_id)
        await _edit(server, trace_id)
        await _hide(server, trace_id)
        events = await watcher.events(6)
    kinds = {1: ["CREATED", "VALIDATED", "DEMOTED"], 2: ["UPDATED", "DELETED", "UNDELETED"]}
    assert told(events) == [(kind, trace_id, revision) for revision, of_it in kinds.items() for kind in of_it]
    assert all(event.event_time.seconds for event in events)
    merged = await server.tags.MergeTags(tag_pb.MergeTagsRequest(source=old, target=new), metadata=EVE)
    assert merged.moved_trace_count == 1
    [resolved] = (await server.tags.ResolveTags(tag_pb.ResolveTagsRequest(names=[old]))).resolved
    assert (resolved.name, resolved.alias) == (new, old)
    tag = (await server.tags.GetTag(tag_pb.GetTagRequest(name=old))).tag
    assert (tag.name, list(tag.aliases), tag.trace_count) == (new, [old], 1)
    by_alias = TraceFilter(tags_any=[old])
    listed = await server.traces.ListTraces(pb.ListTracesRequest(filter=by_alias))
    assert [trace.id for trace in listed.traces] == [trace_id]
    assert ids_of(await export(server.traces, filter=by_alias)) == [trace_id]
    hits = hits_of(await search(server.traces, text="a problem", ranking=pb.RANKING_HYBRID, filter=by_alias))
    assert [hit.trace.id for hit in hits] == [trace_id]
    [result] = await imported(server.traces, a_record(next(numbers), tags=[old]))
    assert result.created_trace_id
    await server.traces.PurgeTrace(pb.PurgeTraceRequest(trace_id=trace_id), metadata=EVE)


async def _vote(server: RunningServer, trace_id: str) -> None:
    up = vote_pb.CastVoteRequest(trace_id=trace_id, type=vote_pb2.VOTE_TYPE_UP)
    first = (await server.votes.CastVote(up, metadata=BOB)).vote
    again = (await server.votes.CastVote(up, metadata=BOB)).vote
    assert again.create_time == first.create_time
    assert again.update_time.ToNanoseconds() > first.create_time.ToNanoseconds() > 0
    await server.votes.CastVote(up, metadata=EVE)
    votes = (await server.votes.ListVotes(vote_pb.ListVotesRequest(trace_id=trace_id, page_size=1))).votes
    assert len(votes) == 1
    assert votes[0].create_time.ToNanoseconds() > first.create_time.ToNanoseconds()
    assert (await server.votes.GetVote(vote_pb.GetVoteRequest(trace_id=trace_id), metadata=BOB)).vote == again
    await server.votes.RetractVote(vote_pb.RetractVoteRequest(trace_id=trace_id), metadata=EVE)
    votes = (await server.votes.ListVotes(vote_pb.ListVotesRequest(trace_id=trace_id))).votes
    assert list(votes) == [again]


async def _edit(server: RunningServer, trace_id: str) -> None:
    edited = trace_pb2.Trace(id=trace_id, title="Edited")
    edit = pb.UpdateTraceRequest(trace=edited, update_mask=FieldMask(paths=["title"]))
    await server.traces.UpdateTrace(edit, metadata=ADA)
    request = pb.ListTraceRevisionsRequest(trace_id=trace_id)
    revisions = (await server.traces.ListTraceRevisions(request)).revisions
    assert [revision.revision for revision in revisions] == [2, 1]
    assert revisions[0].create_time.ToNanoseconds() > revisions[1].create_time.ToNanoseconds() > 0


async def _hide(server: RunningServer, trace_id: str) -> None:
    for reason in ("It lies.", "It lies again."):
        await server.traces.HideTrace(pb.HideTraceRequest(trace_id=trace_id, reason=reason), metadata=EVE)
    undelete = pb.UndeleteTraceRequest(trace_id=trace_id)
    assert await reason_of(server.traces.UndeleteTrace(undelete, metadata=ADA)) == "TRACE_HIDDEN"
    shown = await server.traces.ListTraces(pb.ListTracesRequest(show_deleted=True), metadata=ADA)
    assert [trace.hide_reason for trace in shown.traces if trace.id == trace_id] == ["It lies again."]
    unhide = pb.UnhideTraceRequest(trace_id=trace_id)
    unhidden = (await server.traces.UnhideTrace(unhide, metadata=EVE)).trace
    assert (unhidden.hide_reason, unhidden.HasField("delete_time")) == ("", False)


async def test_a_server_goes_on_while_namespaces_are_enabled(
    server: RunningServer, database_url: str, numbers: Iterator[int]
) -> None:
    for _ in range(6):
        # Statements are prepared on every connection, with the columns' old names.
        await use_everything(server, numbers)
    assert await enabling.enable(database_url)
    for _ in range(6):
        await use_everything(server, numbers)


async def test_a_server_that_starts_afterwards(
    start_server: ServerFactory, database_url: str, numbers: Iterator[int]
) -> None:
    assert await enabling.enable(database_url)
    async with start_server() as server:
        await use_everything(server, numbers)
