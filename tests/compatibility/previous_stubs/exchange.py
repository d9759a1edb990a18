"""The long streams: importing, exporting, watching."""

import asyncio
import struct
from collections.abc import AsyncIterator
from uuid import uuid4

from google.protobuf.timestamp_pb2 import Timestamp

from commontrace.v1 import (
    trace_event_pb2,
    trace_export_pb2,
    trace_filter_pb2,
    trace_import_pb2,
    trace_record_pb2,
    trace_service_pb2,
    vector_pb2,
)
from tests.compatibility.previous_stubs.user import User

_OLDEST = Timestamp(seconds=1_700_000_000)


async def check_a_watch_begins(user: User) -> str:
    """Returns the token of the first message, a checkpoint."""
    watch = user.traces.WatchTraces(trace_event_pb2.WatchTracesRequest())
    async for message in watch:
        watch.cancel()
        assert not message.events
        assert message.resume_token
        return str(message.resume_token)
    raise AssertionError("no message came")


async def check_a_watch_goes_on(user: User, token: str, trace_id: str) -> None:
    """Is told of what was created since the token."""
    watch = user.traces.WatchTraces(trace_event_pb2.WatchTracesRequest(resume_token=token))
    async for message in watch:
        if message.events:
            watch.cancel()
            [event] = message.events
            assert (event.type, event.trace_id) == (trace_event_pb2.TRACE_EVENT_TYPE_CREATED, trace_id), event
            assert event.revision == 1
            assert event.event_time.ToNanoseconds() > 0
            return
    raise AssertionError("no event came")


async def check_imports(user: User) -> list[str]:
    """Stores two traces, one with an id, a time and a vector, and returns their ids, oldest first."""
    info = await user.traces.GetServiceInfo(trace_service_pb2.GetServiceInfoRequest())
    dimensions = info.embedding_model.dimensions
    vector = vector_pb2.Vector(
        packed_f32=struct.pack(f"<{dimensions}f", 1.0, *[0.0] * (dimensions - 1)), model_id=info.embedding_model.id
    )
    complete = trace_record_pb2.TraceRecord(
        id=str(uuid4()),
        title="make rebuilds everything after a checkout",
        context="Git writes files in any order, so times say nothing.",
        solution="Compare contents, or touch what is generated.",
        tags=["make", "moved"],
        create_time=_OLDEST,
        embedding=vector,
    )
    plain = trace_record_pb2.TraceRecord(
        title="tar unpacks nothing", context="The archive is empty.", solution="List it first.", tags=["moved"]
    )
    acknowledged: asyncio.Queue[int] = asyncio.Queue()
    import_id = str(uuid4())

    async def messages() -> AsyncIterator[trace_import_pb2.ImportTracesRequest]:
        for sequence, record in enumerate([complete, plain], start=1):
            item = trace_import_pb2.ImportItem(sequence=sequence, trace=record)
            yield trace_import_pb2.ImportTracesRequest(import_id=import_id, items=[item])
            assert await acknowledged.get() == sequence
        yield trace_import_pb2.ImportTracesRequest()

    answers = []
    async for answer in user.traces.ImportTraces(messages()):
        answers.append(answer)
        acknowledged.put_nowait(answer.last_sequence)
    *stored, end = answers
    results = [result for answer in stored for result in answer.results]
    assert [(result.sequence, result.WhichOneof("outcome")) for result in results] == [
        (1, "created_trace_id"),
        (2, "created_trace_id"),
    ], results
    assert (end.last_sequence, end.created_count, end.existing_count) == (2, 2, 0), end
    ids = [result.created_trace_id for result in results]
    assert ids[0] == complete.id
    await _check_found_by_vector(user, vector, complete.id)
    return ids


async def _check_found_by_vector(user: User, vector: vector_pb2.Vector, trace_id: str) -> None:
    request = trace_service_pb2.SearchTracesRequest(embedding=vector, limit=1, exact=True)
    [hit] = [hit async for message in user.traces.SearchTraces(request) for hit in message.hits]
    assert hit.trace.id == trace_id
    assert hit.similarity > 0.999


async def check_exports(user: User, ids: list[str]) -> None:
    """Streams what was imported, with the vector that came with it, and goes on behind the first message."""
    request = trace_export_pb2.ExportTracesRequest(
        filter=trace_filter_pb2.TraceFilter(tags_all=["moved"]), include_embeddings=True, batch_size=1
    )
    messages = [message async for message in user.traces.ExportTraces(request)]
    records = [record for message in messages for record in message.traces]
    assert [record.id for record in records] == ids
    assert (records[0].create_time, list(records[0].tags)) == (_OLDEST, ["make", "moved"])
    assert records[0].embedding.packed_f32[:4] == struct.pack("<f", 1.0)
    assert records[1].solution == "List it first."
    request.cursor = messages[0].cursor
    behind = [record.id async for message in user.traces.ExportTraces(request) for record in message.traces]
    assert behind == ids[1:]
