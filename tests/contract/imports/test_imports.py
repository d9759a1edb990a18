"""Results of ImportTraces, one message at a time."""

import time
from collections.abc import AsyncIterator
from datetime import UTC
from typing import Any
from uuid import UUID, uuid4

import grpc
import numpy as np
import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from commontrace.domain import limits
from commontrace.settings import INSTALLED_MODEL
from commontrace.v1 import trace_filter_pb2, trace_pb2, vector_pb2
from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import RunningServer, ServerFactory, query, server_settings
from tests.contract.callers import ADA, BOB
from tests.contract.imports.imports import a_record, a_vector, imported, outcomes, trace_id_of, unlinked
from tests.support.builders import a_contribution, hits_of, search

REJECT, ALLOW = trace_pb2.ON_DUPLICATE_REJECT, trace_pb2.ON_DUPLICATE_ALLOW


@pytest.fixture
async def server(start_server: ServerFactory) -> AsyncIterator[RunningServer]:
    """A server that leaves the queue alone: what is in it can be looked at."""
    async with start_server(settings=server_settings(encoding_worker=False)) as running:
        yield running


async def get(server: RunningServer, trace_id: str) -> trace_pb2.Trace:
    return (await server.traces.GetTrace(pb.GetTraceRequest(trace_id=trace_id))).trace


async def test_an_imported_trace_is_like_a_contributed_one(server: RunningServer, database_url: str) -> None:
    metadata = Struct()
    metadata.update({"python": "3.12", "nested": [1, {"a": None}]})
    record = a_record(1, agent_model="m", agent_version="2", metadata=metadata)
    [result] = await imported(server.traces, record)
    trace = await get(server, result.created_trace_id)
    assert (trace.title, trace.context, trace.solution) == (record.title, record.context, record.solution)
    assert (trace.agent_model, trace.agent_version, trace.metadata) == ("m", "2", metadata)
    assert list(trace.tags) == ["kind-1", "python"]
    assert (trace.status, trace.revision, trace.etag) == (trace_pb2.TRACE_STATUS_PENDING, 1, "e1")
    assert trace.create_time == trace.update_time
    assert abs(trace.create_time.ToDatetime(UTC).timestamp() - time.time()) < 60
    assert trace.embedding_state == trace_pb2.EMBEDDING_STATE_PENDING
    contributed = (await server.traces.CreateTrace(a_contribution(2), metadata=ADA)).created
    assert contributed.contributor_id == trace.contributor_id
    revisions = await server.traces.ListTraceRevisions(
        pb.ListTraceRevisionsRequest(trace_id=trace.id, view=trace_pb2.TRACE_VIEW_FULL)
    )
    [revision] = revisions.revisions
    assert (revision.title, revision.context, revision.solution) == (record.title, record.context, record.solution)
    assert list(revision.changed_fields) == ["title", "context", "solution"]
    assert (revision.editor_id, revision.create_time) == (trace.contributor_id, trace.create_time)
    events = await query(database_url, "SELECT trace_id::text, event_type FROM trace_events ORDER BY sequence")
    assert events[0] == (trace.id, "created")
    assert (trace.id,) in await query(database_url, "SELECT trace_id::text FROM encoding_jobs")


@pytest.mark.parametrize("length", [1e-5, 1.0, 1e5])
async def test_a_vector_makes_a_trace_searchable_at_once(
    server: RunningServer, database_url: str, length: float
) -> None:
    listed = vector_pb2.Vector(
        float_vector=vector_pb2.FloatVector(values=[length] + [0.0] * 383), model_id=INSTALLED_MODEL
    )
    records = [a_record(1, embedding=a_vector(1, length=length)), a_record(2, embedding=listed), a_record(3)]
    results = await imported(server.traces, *records)
    near = hits_of(await search(server.traces, embedding=a_vector(1), limit=10))
    assert near[0].trace.id == results[0].created_trace_id
    assert near[0].similarity == pytest.approx(1, abs=1e-5)
    assert {hit.trace.id for hit in near} == {result.created_trace_id for result in results[:2]}
    assert near[0].trace.embedding_state == trace_pb2.EMBEDDING_STATE_READY
    stored = await query(
        database_url, "SELECT vector_norm(embedding), embedding_model_id FROM traces WHERE embedding IS NOT NULL"
    )
    assert stored == [(pytest.approx(1, abs=1e-6), INSTALLED_MODEL)] * 2
    # Those with vectors wait for their tokens alone.
    queued = {trace_id for (trace_id,) in await query(database_url, "SELECT trace_id::text FROM encoding_jobs")}
    assert queued == {result.created_trace_id for result in results}


async def test_ids_and_times_are_kept(server: RunningServer) -> None:
    times = [Timestamp(seconds=-62_135_596_800), Timestamp(seconds=1_700_000_000, nanos=123_456_789), Timestamp()]
    soon = Timestamp(seconds=int(time.time()) + 30)
    ids = [str(uuid4()), str(uuid4()).upper(), "", str(uuid4())]
    records = [
        a_record(number, id=trace_id, create_time=created)
        for number, (trace_id, created) in enumerate(zip(ids, [*times, soon], strict=True))
    ]
    results = await imported(server.traces, *records)
    assert outcomes(results) == ["created"] * 4
    assert [result.created_trace_id for result in results][:2] == [ids[0], ids[1].lower()]
    stored = [await get(server, result.created_trace_id) for result in results]
    assert [trace.create_time for trace in stored] == [
        times[0],
        Timestamp(seconds=1_700_000_000, nanos=123_456_000),
        times[2],
        soon,
    ]
    assert all(trace.create_time == trace.update_time for trace in stored)


async def test_traces_of_a_message_are_listed_in_its_order(server: RunningServer) -> None:
    results = await imported(server.traces, *map(a_record, range(50)))
    listed = await server.traces.ListTraces(pb.ListTracesRequest(page_size=50))
    assert [trace.id for trace in listed.traces] == [result.created_trace_id for result in reversed(results)]


_AT_FAULT: dict[str, tuple[dict[str, Any], str, grpc.StatusCode]] = {
    "no title": ({"title": " "}, "FIELD_REQUIRED", grpc.StatusCode.INVALID_ARGUMENT),
    "no solution": ({"solution": ""}, "FIELD_REQUIRED", grpc.StatusCode.INVALID_ARGUMENT),
    "context too long": ({"context": "é" * 50_001}, "FIELD_TOO_LONG", grpc.StatusCode.INVALID_ARGUMENT),
    "forbidden": ({"solution": "a\0"}, "FORBIDDEN_CHARACTER", grpc.StatusCode.INVALID_ARGUMENT),
    "tag": ({"tags": ["fine", "a+b"]}, "INVALID_TAG", grpc.StatusCode.INVALID_ARGUMENT),
    "21 tags": ({"tags": [f"t{n}" for n in range(21)]}, "FIELD_TOO_LONG", grpc.StatusCode.INVALID_ARGUMENT),
    "agent": ({"agent_model": "x" * 101}, "FIELD_TOO_LONG", grpc.StatusCode.INVALID_ARGUMENT),
    "on_duplicate": ({"on_duplicate": 9}, "UNKNOWN_ENUM_VALUE", grpc.StatusCode.INVALID_ARGUMENT),
    "id": ({"id": "trace"}, "MALFORMED_ID", grpc.StatusCode.INVALID_ARGUMENT),
    "predecessor": ({"supersedes_trace_id": "trace"}, "MALFORMED_ID", grpc.StatusCode.INVALID_ARGUMENT),
    "future": ({"create_time": Timestamp(seconds=2**32)}, "FIELD_OUT_OF_RANGE", grpc.StatusCode.INVALID_ARGUMENT),
    "year 0": (
        {"create_time": Timestamp(seconds=-62_135_596_801)},
        "FIELD_OUT_OF_RANGE",
        grpc.StatusCode.INVALID_ARGUMENT,
    ),
    "nanos": ({"create_time": Timestamp(nanos=-1)}, "FIELD_OUT_OF_RANGE", grpc.StatusCode.INVALID_ARGUMENT),
    "no vector": ({"embedding": vector_pb2.Vector()}, "FIELD_REQUIRED", grpc.StatusCode.INVALID_ARGUMENT),
    "zero vector": ({"embedding": a_vector(1, length=0)}, "INVALID_VECTOR", grpc.StatusCode.INVALID_ARGUMENT),
    "short vector": (
        {"embedding": vector_pb2.Vector(packed_f32=np.ones(383, "<f4").tobytes(), model_id=INSTALLED_MODEL)},
        "INVALID_VECTOR",
        grpc.StatusCode.INVALID_ARGUMENT,
    ),
    "other model": (
        {"embedding": a_vector(1, model_id="other")},
        "EMBEDDING_MODEL_MISMATCH",
        grpc.StatusCode.INVALID_ARGUMENT,
    ),
}


async def test_what_is_wrong_with_a_trace_fails_that_trace_alone(server: RunningServer, database_url: str) -> None:
    metadata = Struct()
    metadata.update({"k": float("nan")})
    at_fault = _AT_FAULT | {
        "metadata": ({"metadata": metadata}, "INVALID_METADATA", grpc.StatusCode.INVALID_ARGUMENT),
    }
    records = [a_record(-1)]
    for number, (changes, _, _) in enumerate(at_fault.values()):
        records += [a_record(2 * number, **changes), a_record(2 * number + 1)]
    results = await imported(server.traces, *records)
    assert outcomes(results[::2]) == ["created"] * (len(at_fault) + 1)
    assert outcomes(results[1::2]) == [reason for _, reason, _ in at_fault.values()]
    for result, (_, reason, code) in zip(results[1::2], at_fault.values(), strict=True):
        assert result.error.code == code.value[0]
        assert result.error.message.startswith(f"{reason}: ")
        assert len(result.error.message.encode()) <= 1024
    assert await query(database_url, "SELECT count(*) FROM traces") == [(len(at_fault) + 1,)]
    assert await query(database_url, "SELECT count(*) FROM import_items") == [(len(at_fault) + 1,)]


async def test_a_message_of_failures_stores_nothing(server: RunningServer, database_url: str) -> None:
    results = await imported(server.traces, a_record(1, title=""), a_record(2, tags=["?"]))
    assert outcomes(results) == ["FIELD_REQUIRED", "INVALID_TAG"]
    assert await query(database_url, "SELECT count(*) FROM users") == [(0,)]


async def test_duplicates_of_what_is_there(server: RunningServer) -> None:
    there = (await server.traces.CreateTrace(a_contribution(1), metadata=BOB)).created
    same: dict[str, Any] = {"title": there.title, "context": there.context + "\r\n", "solution": there.solution + " "}
    results = await imported(
        server.traces,
        a_record(0, **same, tags=["other"], id=str(uuid4())),
        a_record(0, **same, on_duplicate=REJECT),
        a_record(0, **same, on_duplicate=ALLOW),
        a_record(0, **same),
    )
    assert outcomes(results) == ["existing", "DUPLICATE_TRACE", "created", "existing"]
    assert {trace_id_of(results[0]), trace_id_of(results[3])} == {there.id}
    assert results[1].error.code == grpc.StatusCode.ALREADY_EXISTS.value[0]
    assert there.id in results[1].error.message
    assert await get(server, there.id) == there


async def test_duplicates_within_a_message(server: RunningServer, database_url: str) -> None:
    same: dict[str, Any] = {"title": "a", "context": "b", "solution": "c"}
    results = await imported(
        server.traces,
        a_record(**same, on_duplicate=ALLOW),
        a_record(**same),
        a_record(**same),
        a_record(**same, on_duplicate=REJECT),
        a_record(**same, on_duplicate=ALLOW),
    )
    assert outcomes(results) == ["created", "created", "existing", "DUPLICATE_TRACE", "created"]
    assert trace_id_of(results[2]) == trace_id_of(results[1])
    assert await query(database_url, "SELECT count(*) FROM traces") == [(3,)]


async def test_a_deleted_trace_is_no_duplicate(server: RunningServer) -> None:
    [first] = await imported(server.traces, a_record(1))
    await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=first.created_trace_id), metadata=ADA)
    assert outcomes(await imported(server.traces, a_record(1))) == ["created"]


async def test_ids_that_are_taken(server: RunningServer) -> None:
    [one, two] = await imported(server.traces, a_record(1), a_record(2, on_duplicate=ALLOW))
    new = str(uuid4())
    results = await imported(
        server.traces,
        a_record(3, id=trace_id_of(one)),
        a_record(4, id=new),
        a_record(5, id=new),
        # The same trace once more, as in a file that is imported under another import's name.
        a_record(1, id=trace_id_of(one)),
        a_record(2, id=trace_id_of(two), on_duplicate=ALLOW),
        a_record(4, id=new, on_duplicate=ALLOW),
        a_record(1, id=trace_id_of(one), on_duplicate=REJECT),
    )
    assert outcomes(results) == [
        "TRACE_ID_TAKEN",
        "created",
        "TRACE_ID_TAKEN",
        "existing",
        "existing",
        "existing",
        "DUPLICATE_TRACE",
    ]
    assert results[0].error.code == grpc.StatusCode.ALREADY_EXISTS.value[0]
    await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=trace_id_of(one)), metadata=ADA)
    assert outcomes(await imported(server.traces, a_record(1, id=trace_id_of(one)))) == ["TRACE_ID_TAKEN"]


async def test_links_to_traces_of_the_message_and_of_before(server: RunningServer, database_url: str) -> None:
    ids = [str(uuid4()) for _ in range(4)]
    [there] = await imported(server.traces, a_record(0))
    results = await imported(
        server.traces,
        a_record(1, id=ids[0], supersedes_trace_id=there.created_trace_id),
        a_record(2, id=ids[1], supersedes_trace_id=ids[0]),
        a_record(3, id=ids[2], supersedes_trace_id=ids[1].upper()),
    )
    assert outcomes(results) == ["created"] * 3
    chain = [there.created_trace_id, *ids[:3]]
    stored = [await get(server, trace_id) for trace_id in chain]
    assert [trace.superseded_by_trace_id for trace in stored] == [*chain[1:], ""]
    assert [unlinked(result) for result in results] == [""] * len(results)
    assert [trace.supersedes_trace_id for trace in stored] == ["", *chain[:-1]]
    events = await query(database_url, "SELECT trace_id::text, event_type FROM trace_events ORDER BY sequence")
    assert [kind for trace_id, kind in events if trace_id == chain[0]] == ["created", "superseded"]
    assert [kind for trace_id, kind in events if trace_id == chain[1]] == ["created", "superseded"]
    assert [kind for trace_id, kind in events if trace_id == chain[3]] == ["created"]
    live = await server.traces.ListTraces(pb.ListTracesRequest())
    assert [trace.id for trace in live.traces] == [chain[-1]]
    everything = pb.ListTracesRequest(filter=trace_filter_pb2.TraceFilter(include_superseded=True))
    assert len((await server.traces.ListTraces(everything)).traces) == 4


async def test_links_that_cannot_be_are_left_out(server: RunningServer, database_url: str) -> None:
    of_bob = (await server.traces.CreateTrace(a_contribution(1), metadata=BOB)).created.id
    [one, two, gone, allowed] = map(
        trace_id_of, await imported(server.traces, *map(a_record, range(2, 5)), a_record(5, on_duplicate=ALLOW))
    )
    await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=gone), metadata=ADA)
    later, itself, twin = str(uuid4()), str(uuid4()), str(uuid4())
    results = await imported(
        server.traces,
        a_record(10, supersedes_trace_id=str(uuid4())),
        a_record(11, supersedes_trace_id=of_bob),
        a_record(12, supersedes_trace_id=gone),
        a_record(13, id=itself, supersedes_trace_id=itself),
        a_record(14, supersedes_trace_id=later),
        a_record(15, id=later),
        a_record(16, supersedes_trace_id=one),
        a_record(17, supersedes_trace_id=one),
        a_record(2, on_duplicate=ALLOW, supersedes_trace_id=two),
        a_record(3, on_duplicate=ALLOW, supersedes_trace_id=two),
        a_record(5, on_duplicate=ALLOW, supersedes_trace_id=allowed),
        a_record(18, id=twin),
        a_record(18, on_duplicate=ALLOW, supersedes_trace_id=twin),
        a_record(19, supersedes_trace_id=twin),
        a_record(20, supersedes_trace_id=twin),
    )
    assert outcomes(results) == ["created"] * 15
    stored = [await get(server, trace_id_of(result)) for result in results]
    linked = [trace.supersedes_trace_id for trace in stored]
    assert linked == [""] * 6 + [one, "", two, "", "", "", "", twin, ""]
    assert await query(database_url, "SELECT count(*) FROM trace_events WHERE event_type = 'superseded'") == [(3,)]
    # What CreateTrace would have failed with.
    gone_or_later, replaced, same = "TRACE_NOT_FOUND", "ALREADY_SUPERSEDED", "DUPLICATE_TRACE"
    assert [unlinked(result) for result in results] == [
        *(gone_or_later, "NOT_OWNER", gone_or_later, gone_or_later, gone_or_later, "", "", replaced),
        *("", replaced, same, "", same, "", replaced),
    ]
    assert of_bob in results[1].supersedes_error.message


async def test_why_a_trace_is_not_linked_is_said_once(server: RunningServer) -> None:
    of_bob = (await server.traces.CreateTrace(a_contribution(1), metadata=BOB)).created.id
    import_id = str(uuid4())
    record = a_record(2, supersedes_trace_id=of_bob)
    [first], [again] = [await imported(server.traces, record, import_id=import_id) for _ in range(2)]
    assert (unlinked(first), unlinked(again)) == ("NOT_OWNER", "")
    assert first.created_trace_id == again.created_trace_id
    assert (await get(server, of_bob)).superseded_by_trace_id == ""


async def test_a_superseded_trace_is_back_when_its_imported_successor_is_deleted(server: RunningServer) -> None:
    old, new = str(uuid4()), str(uuid4())
    await imported(server.traces, a_record(1, id=old), a_record(2, id=new, supersedes_trace_id=old))
    await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=new), metadata=ADA)
    assert (await get(server, old)).superseded_by_trace_id == ""


async def test_tags_are_canonical_and_follow_merges(server: RunningServer, database_url: str) -> None:
    from commontrace.v1 import tag_service_pb2

    await server.tags.MergeTags(tag_service_pb2.MergeTagsRequest(source="serpent", target="snake"))
    [result] = await imported(server.traces, a_record(1, tags=["Serpent", "SNAKE", "c++", "New One"]))
    assert list((await get(server, trace_id_of(result))).tags) == ["cpp", "new-one", "snake"]
    [(count,)] = await query(database_url, "SELECT count(*) FROM tags WHERE name = 'new-one'")
    assert count == 1


async def test_a_full_message_is_taken(server: RunningServer) -> None:
    results = await imported(server.traces, *map(a_record, range(limits.IMPORT_ITEMS)))
    assert outcomes(results) == ["created"] * limits.IMPORT_ITEMS
    assert len({UUID(result.created_trace_id) for result in results}) == limits.IMPORT_ITEMS
