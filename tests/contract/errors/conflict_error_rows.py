"""Error rows for conflicts with stored data: ownership, present state, repeated request ids."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID, uuid4

from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.v1 import trace_pb2, vote_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vote_service_pb2 as vote_pb
from tests.conftest import RunningServer
from tests.contract.callers import ADA, BOB
from tests.contract.errors.error_row import (
    CAST_VOTE,
    CREATE,
    DELETE,
    GET,
    GET_VOTE,
    LIST_VOTES,
    RETRACT_VOTE,
    REVISIONS,
    SEARCH,
    UNDELETE,
    UNHIDE,
    UNKNOWN_ID,
    UPDATE,
    Code,
    Row,
)
from tests.support.builders import a_contribution

UP = vote_pb2.VOTE_TYPE_UP


@dataclass(kw_only=True)
class Stored:
    """Traces of Ada's: one at its second revision, one that replaces another, one deleted, one without a vector.

    And one hidden, a request id of hers, and one whose answer was erased.
    """

    trace: str = UNKNOWN_ID
    replaced: str = UNKNOWN_ID
    deleted_successor: str = UNKNOWN_ID
    deleted: str = UNKNOWN_ID
    unencoded: str = UNKNOWN_ID
    request_id: str = UNKNOWN_ID
    hidden: str = UNKNOWN_ID
    erased_request_id: str = UNKNOWN_ID


async def store(server: RunningServer) -> Stored:
    async def create(number: int, supersedes: str = "") -> str:
        request = a_contribution(number, supersedes_trace_id=supersedes)
        return (await server.traces.CreateTrace(request, metadata=ADA)).created.id

    async def delete(trace_id: str) -> str:
        await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=trace_id), metadata=ADA)
        return trace_id

    stored = Stored(trace=await create(0), replaced=await create(1), deleted=await delete(await create(9)))
    await server.traces.UpdateTrace(_update(stored.trace, title="Second"), metadata=ADA)
    stored.deleted_successor = await delete(await create(2, stored.replaced))
    await create(3, stored.replaced)
    # What the deleted trace said is said again.
    await create(9)
    stored.unencoded = await create(10)
    without = dict.fromkeys(("embedding", "embedding_model_id", "embedding_model_version"))
    async with server.database.unit_of_work() as work:
        await work.trace_changes.update(UUID(stored.unencoded), without)
    stored.request_id = str(uuid4())
    await server.traces.CreateTrace(a_contribution(5, request_id=stored.request_id), metadata=ADA)
    await _moderate(server, stored)
    return stored


async def _moderate(server: RunningServer, stored: Stored) -> None:
    stored.hidden = (await server.traces.CreateTrace(a_contribution(11), metadata=ADA)).created.id
    await server.traces.HideTrace(pb.HideTraceRequest(trace_id=stored.hidden, reason="It lies."))
    # What is hidden is said again.
    await server.traces.CreateTrace(a_contribution(11), metadata=ADA)
    stored.erased_request_id = str(uuid4())
    request = a_contribution(12, request_id=stored.erased_request_id)
    purged = (await server.traces.CreateTrace(request, metadata=ADA)).created.id
    await server.traces.PurgeTrace(pb.PurgeTraceRequest(trace_id=purged))


def conflict_rows(stored: Stored) -> Iterator[Row]:
    trace = stored.trace
    for rpc, by_others in {
        UPDATE: _update(trace, title="Mine"),
        DELETE: pb.DeleteTraceRequest(trace_id=trace),
        UNDELETE: pb.UndeleteTraceRequest(trace_id=stored.deleted),
        CREATE: a_contribution(7, supersedes_trace_id=trace),
    }.items():
        yield Row(
            name="of another", rpc=rpc, request=by_others, code=Code.PERMISSION_DENIED, reason="NOT_OWNER", metadata=BOB
        )
    own = vote_pb.CastVoteRequest(trace_id=trace, type=UP)
    yield Row(
        name="own trace", rpc=CAST_VOTE, request=own, code=Code.FAILED_PRECONDITION, reason="OWN_TRACE", metadata=ADA
    )
    for revision in (1, 3, 2**31 - 1):
        yield Row(
            name=f"revision {revision}",
            rpc=CAST_VOTE,
            request=vote_pb.CastVoteRequest(trace_id=trace, type=UP, revision=revision),
            code=Code.ABORTED,
            reason="REVISION_NOT_CURRENT",
            metadata=BOB,
        )
    for rpc, without in {
        GET_VOTE: vote_pb.GetVoteRequest(trace_id=trace),
        RETRACT_VOTE: vote_pb.RetractVoteRequest(trace_id=trace),
    }.items():
        yield Row(name="no vote", rpc=rpc, request=without, code=Code.NOT_FOUND, reason="VOTE_NOT_FOUND", metadata=BOB)
    for etag in ("e1", "e3", "E2", "é" * 100):
        for rpc, stale in {
            UPDATE: _update(trace, etag=etag, title="Stale"),
            DELETE: pb.DeleteTraceRequest(trace_id=trace, etag=etag),
        }.items():
            yield Row(
                name=f"etag {etag[:9]}", rpc=rpc, request=stale, code=Code.ABORTED, reason="STALE_ETAG", metadata=ADA
            )
    yield Row(
        name="not encoded",
        rpc=SEARCH,
        request=pb.SearchTracesRequest(trace_id=stored.unencoded),
        code=Code.FAILED_PRECONDITION,
        reason="TRACE_NOT_ENCODED",
    )
    yield Row(
        name="hidden",
        rpc=UNDELETE,
        request=pb.UndeleteTraceRequest(trace_id=stored.hidden),
        code=Code.FAILED_PRECONDITION,
        reason="TRACE_HIDDEN",
        metadata=ADA,
    )
    yield Row(
        name="answer erased",
        rpc=CREATE,
        request=a_contribution(12, request_id=stored.erased_request_id),
        code=Code.NOT_FOUND,
        reason="ANSWER_ERASED",
        metadata=ADA,
    )
    yield from _collisions(stored)
    yield from _deleted(stored.deleted)
    yield from _deleted(stored.hidden)


def _collisions(stored: Stored) -> Iterator[Row]:
    other = a_contribution(9)
    same = {"title": other.title, "context": other.context, "solution": other.solution}
    for reason, rpc, request in (
        ("DUPLICATE_TRACE", CREATE, a_contribution(9, on_duplicate=trace_pb2.ON_DUPLICATE_REJECT)),
        ("DUPLICATE_TRACE", CREATE, a_contribution(1, supersedes_trace_id=stored.replaced)),
        ("DUPLICATE_TRACE", UPDATE, _update(stored.trace, **same)),
        ("DUPLICATE_TRACE", UNDELETE, pb.UndeleteTraceRequest(trace_id=stored.deleted)),
        ("DUPLICATE_TRACE", UNHIDE, pb.UnhideTraceRequest(trace_id=stored.hidden)),
        ("ALREADY_SUPERSEDED", CREATE, a_contribution(7, supersedes_trace_id=stored.replaced)),
        ("ALREADY_SUPERSEDED", UNDELETE, pb.UndeleteTraceRequest(trace_id=stored.deleted_successor)),
        ("REQUEST_ID_REUSED", CREATE, a_contribution(7, request_id=stored.request_id)),
    ):
        yield Row(name="collision", rpc=rpc, request=request, code=Code.ALREADY_EXISTS, reason=reason, metadata=ADA)


def _deleted(trace_id: str) -> Iterator[Row]:
    for rpc, request in {
        GET: pb.GetTraceRequest(trace_id=trace_id),
        REVISIONS: pb.ListTraceRevisionsRequest(trace_id=trace_id),
        SEARCH: pb.SearchTracesRequest(trace_id=trace_id),
        UPDATE: _update(trace_id, title="Gone"),
        DELETE: pb.DeleteTraceRequest(trace_id=trace_id),
        CREATE: a_contribution(7, supersedes_trace_id=trace_id),
        CAST_VOTE: vote_pb.CastVoteRequest(trace_id=trace_id, type=UP),
        RETRACT_VOTE: vote_pb.RetractVoteRequest(trace_id=trace_id),
        GET_VOTE: vote_pb.GetVoteRequest(trace_id=trace_id),
        LIST_VOTES: vote_pb.ListVotesRequest(trace_id=trace_id),
    }.items():
        yield Row(name="deleted", rpc=rpc, request=request, code=Code.NOT_FOUND, reason="TRACE_NOT_FOUND", metadata=ADA)


def _update(trace_id: str, etag: str = "", **values: str) -> pb.UpdateTraceRequest:
    trace = trace_pb2.Trace(id=trace_id)
    for name, value in values.items():
        setattr(trace, name, value)
    return pb.UpdateTraceRequest(trace=trace, update_mask=FieldMask(paths=values), etag=etag)
