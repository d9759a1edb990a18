"""Traces that moderators take away: hidden with a reason, or erased with all that is stored of them."""

import asyncio
from uuid import UUID, uuid4

from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.core.traces import moderate as trace_moderation
from commontrace.core.traces.create import ExistingTrace
from commontrace.domain.namespaces.access import COMMONS_ONLY
from commontrace.storage.models import Base
from commontrace.storage.tags.repository import MERGES
from commontrace.v1 import trace_event_pb2, trace_import_pb2, trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vote_service_pb2 as vote_pb
from commontrace.v1.vote_pb2 import VOTE_TYPE_UP
from tests.conftest import RunningServer, administer, query
from tests.contract.callers import ADA, BOB, EVE, reason_of
from tests.contract.imports.imports import a_record, message, outcomes
from tests.contract.imports.imports import imported as import_all
from tests.support.builders import a_contribution, hits_of, search
from tests.support.locks import held, until_waiting
from tests.support.trace_signs import out_of_date

MARK = "xyzzy-3141"
COUNT = "SELECT count(*) FROM {} AS whole WHERE whole::text LIKE '%{}%'"


async def test_a_hidden_trace_is_gone_and_its_owner_sees_why(server: RunningServer, database_url: str) -> None:
    old, trace = await contributed(server, 1), await contributed(server, 2)
    successor = a_contribution(3, supersedes_trace_id=old)
    new = (await server.traces.CreateTrace(successor, metadata=ADA)).created.id
    hidden = (await server.traces.HideTrace(hide(new, "It deletes data."), metadata=EVE)).trace
    assert hidden.HasField("delete_time")
    assert hidden.hide_reason == "It deletes data."
    assert await found(server) == {old, trace}
    assert await reason_of(server.traces.GetTrace(pb.GetTraceRequest(trace_id=new))) == "TRACE_NOT_FOUND"
    [seen] = await deleted_of_ada(server)
    assert (seen.id, seen.hide_reason) == (new, "It deletes data.")
    undelete = pb.UndeleteTraceRequest(trace_id=new)
    assert await reason_of(server.traces.UndeleteTrace(undelete, metadata=ADA)) == "TRACE_HIDDEN"
    assert await reason_of(server.traces.UndeleteTrace(undelete, metadata=BOB)) == "NOT_OWNER"
    # Another reason, and no other effect.
    await server.traces.HideTrace(hide(new, "Spam."), metadata=EVE)
    assert [trace.hide_reason for trace in await deleted_of_ada(server)] == ["Spam."]
    shown = (await server.traces.UnhideTrace(pb.UnhideTraceRequest(trace_id=new), metadata=EVE)).trace
    assert (shown.HasField("delete_time"), shown.hide_reason) == (False, "")
    assert await found(server) == {new, trace}
    again = (await server.traces.UnhideTrace(pb.UnhideTraceRequest(trace_id=new), metadata=EVE)).trace
    assert again == shown
    assert await out_of_date(database_url) == 0


async def test_what_its_owner_deleted_stays_deleted(server: RunningServer) -> None:
    trace = await contributed(server, 1)
    await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=trace), metadata=ADA)
    await server.traces.HideTrace(hide(trace, "For good."), metadata=EVE)
    undelete = pb.UndeleteTraceRequest(trace_id=trace)
    assert await reason_of(server.traces.UndeleteTrace(undelete, metadata=ADA)) == "TRACE_HIDDEN"
    unhidden = (await server.traces.UnhideTrace(pb.UnhideTraceRequest(trace_id=trace), metadata=EVE)).trace
    assert unhidden.HasField("delete_time")
    assert await found(server) == set()
    assert await reason_of(server.traces.UndeleteTrace(undelete, metadata=ADA)) == "OK"


async def test_nothing_but_the_id_is_left_of_a_purged_trace(server: RunningServer, database_url: str) -> None:
    old, other = await contributed(server, 1), await contributed(server, 2)
    marked = a_contribution(3, context=f"{MARK} appeared.", tags=["python"], supersedes_trace_id=old)
    marked.request_id = str(uuid4())
    trace = (await server.traces.CreateTrace(marked, metadata=ADA)).created
    # Near enough for its title to be in the answer.
    near = a_contribution(3, context=f"{MARK} appeared!", request_id=str(uuid4()))
    nearest = (await server.traces.CreateTrace(near, metadata=BOB)).created.id
    edit = pb.UpdateTraceRequest(
        trace=trace_pb2.Trace(id=trace.id, title=f"{MARK} again"), update_mask=FieldMask(paths=["title"])
    )
    edit.request_id = str(uuid4())
    await server.traces.UpdateTrace(edit, metadata=ADA)
    up = vote_pb.CastVoteRequest(trace_id=trace.id, type=VOTE_TYPE_UP, comment=MARK, request_id=str(uuid4()))
    await server.votes.CastVote(up, metadata=BOB)
    await server.traces.PurgeTrace(pb.PurgeTraceRequest(trace_id=nearest), metadata=EVE)
    purge = pb.PurgeTraceRequest(trace_id=trace.id, request_id=str(uuid4()))
    answers = [await server.traces.PurgeTrace(purge, metadata=EVE) for _ in range(2)]
    assert answers[0] == answers[1]
    assert await mentions(database_url, MARK) == {}
    assert await mentions(database_url, MARK.encode().hex()) == {}
    assert (await mentions(database_url, trace.id)).keys() == {"purged_traces", "trace_events"}
    assert (await mentions(database_url, trace.id.encode().hex())).keys() == {"idempotent_requests"}
    assert await found(server) == {old, other}
    assert await out_of_date(database_url) == 0
    for call in (
        server.traces.CreateTrace(marked, metadata=ADA),
        server.traces.UpdateTrace(edit, metadata=ADA),
        server.votes.CastVote(up, metadata=BOB),
    ):
        assert await reason_of(call) == "ANSWER_ERASED"
    repeated = pb.PurgeTraceRequest(trace_id=trace.id)
    assert await reason_of(server.traces.PurgeTrace(repeated, metadata=EVE)) == "TRACE_NOT_FOUND"


async def test_an_answer_that_is_about_to_be_stored_does_not_name_it(server: RunningServer, database_url: str) -> None:
    purged, kept, new = [a_contribution(3, context=f"Problem number 3 appeared{end}") for end in (".", "!", "?")]
    purged_id = (await server.traces.CreateTrace(purged, metadata=ADA)).created.id
    near = await server.traces.CreateTrace(kept, metadata=ADA)
    assert [similar.trace_id for similar in near.similar] == [purged_id]
    new.request_id = str(uuid4())
    async with held(database_url, f"SELECT pg_advisory_xact_lock({MERGES})"):
        # It has found what is similar, and waits to attach its tags.
        creating = asyncio.ensure_future(created(server, new))
        await until_waiting(database_url)
        await server.traces.PurgeTrace(pb.PurgeTraceRequest(trace_id=purged_id), metadata=EVE)
    assert [similar.trace_id for similar in (await creating).similar] == [near.created.id]
    assert await mentions(database_url, purged_id.encode().hex()) == {}


async def test_a_duplicate_of_what_is_being_purged_waits_and_is_a_trace_of_its_own(
    server: RunningServer, database_url: str
) -> None:
    purged = await contributed(server, 1)
    async with server.database.unit_of_work() as work:
        await trace_moderation.purge(UUID(purged), work, "eve@example.org", COMMONS_ONLY)
        # It has found the trace of the same content, and would answer with it.
        creating = asyncio.ensure_future(created(server, a_contribution(1, request_id=str(uuid4()))))
        await until_waiting(database_url)
    assert (await creating).created.id not in ("", purged)
    assert await mentions(database_url, purged.encode().hex()) == {}


async def test_a_purge_waits_for_the_answer_to_a_duplicate(server: RunningServer, database_url: str) -> None:
    trace = await contributed(server, 1)
    async with server.database.unit_of_work() as work:
        await ExistingTrace(trace_id=UUID(trace), access=COMMONS_ONLY).store(work, uuid4())
        purging = asyncio.ensure_future(server.traces.PurgeTrace(pb.PurgeTraceRequest(trace_id=trace), metadata=EVE))
        await until_waiting(database_url)
    await purging
    assert await found(server) == set()


async def test_deleting_what_replaces_a_trace_that_is_purged_meanwhile(
    server: RunningServer, database_url: str
) -> None:
    old = await contributed(server, 1)
    new = (await server.traces.CreateTrace(a_contribution(2, supersedes_trace_id=old), metadata=ADA)).created.id
    purge, delete = pb.PurgeTraceRequest(trace_id=old), pb.DeleteTraceRequest(trace_id=new)
    async with held(database_url, f"SELECT FROM traces WHERE id = '{old}' FOR UPDATE"):
        purging = asyncio.create_task(reason_of(server.traces.PurgeTrace(purge, metadata=EVE)))
        await until_waiting(database_url)
        deleting = asyncio.create_task(reason_of(server.traces.DeleteTrace(delete, metadata=ADA)))
        await until_waiting(database_url, 2)
    assert list(await asyncio.gather(purging, deleting)) == ["OK", "OK"]
    assert await found(server) == set()


async def test_watchers_hear_of_it_and_imports_do_not_bring_it_back(server: RunningServer) -> None:
    watching = server.traces.WatchTraces(trace_event_pb2.WatchTracesRequest(), timeout=20)
    messages = aiter(watching)
    await anext(messages)
    request = message([a_record(1)], import_id=str(uuid4()))
    first = await imported(server, request)
    await server.traces.PurgeTrace(pb.PurgeTraceRequest(trace_id=first), metadata=EVE)
    assert await imported(server, request) == first
    assert await found(server) == set()
    told: list[trace_event_pb2.TraceEvent] = []
    while len(told) < 2:
        told += (await anext(messages)).events
    watching.cancel()
    kinds = [trace_event_pb2.TRACE_EVENT_TYPE_CREATED, trace_event_pb2.TRACE_EVENT_TYPE_PURGED]
    assert [(event.type, event.trace_id) for event in told] == [(kind, first) for kind in kinds]


async def test_nobody_imports_the_id_of_a_purged_trace_until_an_operator_allows_it(
    server: RunningServer, database_url: str
) -> None:
    purged, other = [str(uuid4()) for _ in range(2)]
    records = [a_record(1, id=purged), a_record(2, id=purged), a_record(3, id=other)]
    await import_all(server.traces, records[0], caller=ADA)
    await server.traces.PurgeTrace(pb.PurgeTraceRequest(trace_id=purged), metadata=EVE)
    for caller in (ADA, BOB):
        # With its text and with another one; what is beside them is stored.
        results = await import_all(server.traces, *records, caller=caller)
        assert outcomes(results)[:2] == ["TRACE_PURGED", "TRACE_PURGED"]
        assert results[2].created_trace_id or results[2].existing_trace_id == other
    assert (await mentions(database_url, purged)).keys() == {"import_items", "purged_traces", "trace_events"}
    # Its text is not forbidden, and who means to bring it back can.
    assert outcomes(await import_all(server.traces, a_record(1), caller=BOB)) == ["created"]
    await administer(database_url, f"DELETE FROM purged_traces WHERE trace_id = '{purged}'")  # noqa: S608 - a UUID
    assert outcomes(await import_all(server.traces, a_record(2, id=purged), caller=BOB)) == ["created"]
    # It can be purged again.
    await server.traces.PurgeTrace(pb.PurgeTraceRequest(trace_id=purged), metadata=EVE)
    assert outcomes(await import_all(server.traces, a_record(2, id=purged), caller=ADA)) == ["TRACE_PURGED"]


async def created(server: RunningServer, request: pb.CreateTraceRequest) -> pb.CreateTraceResponse:
    return await server.traces.CreateTrace(request, metadata=BOB)


async def contributed(server: RunningServer, number: int) -> str:
    return (await server.traces.CreateTrace(a_contribution(number), metadata=ADA)).created.id


def hide(trace_id: str, reason: str) -> pb.HideTraceRequest:
    return pb.HideTraceRequest(trace_id=trace_id, reason=reason)


async def found(server: RunningServer) -> set[str]:
    return {hit.trace.id for hit in hits_of(await search(server.traces, text="trace", limit=100))}


async def deleted_of_ada(server: RunningServer) -> list[trace_pb2.Trace]:
    listed = await server.traces.ListTraces(pb.ListTracesRequest(show_deleted=True), metadata=ADA)
    return [trace for trace in listed.traces if trace.HasField("delete_time")]


async def imported(server: RunningServer, request: trace_import_pb2.ImportTracesRequest) -> str:
    [answer] = [response async for response in server.traces.ImportTraces(iter([request]), metadata=ADA)]
    [result] = answer.results
    return result.created_trace_id or result.existing_trace_id


async def mentions(url: str, text: str) -> dict[str, int]:
    """How many rows of each table hold the text, in hexadecimal where the column is one of bytes."""
    counts = {table: await query(url, COUNT.format(table, text)) for table in Base.metadata.tables}
    return {table: count for table, [(count,)] in counts.items() if count}
