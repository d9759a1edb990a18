import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from itertools import islice
from random import Random
from uuid import UUID

import grpc
import numpy as np
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.domain import limits
from commontrace.settings import INSTALLED_MODEL
from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_export_pb2 import ExportTracesRequest
from commontrace.v1.trace_filter_pb2 import TraceFilter
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.conftest import RunningServer, ServerFactory, administer
from tests.contract.callers import ADA, refused
from tests.contract.errors.error_row import objects
from tests.contract.imports.exported_traces import ENLARGE, export, ids_of, records_of
from tests.contract.search.searched_traces import store_vectors
from tests.contract.traces.listed_traces import START, WITH_UNKNOWN_TAGS, Stored, expected, store_at, store_varied
from tests.contract.traces.test_list_filters import mixed
from tests.integration.storage.storing import unit_vector
from tests.support.builders import a_contribution, copies_of

ALLOW = trace_pb2.ON_DUPLICATE_ALLOW


def oldest_first(stored: list[Stored], asked: TraceFilter) -> list[str]:
    return expected(stored, asked)[::-1]


async def test_a_record_holds_what_was_contributed(server: RunningServer) -> None:
    metadata = objects(3)
    metadata.update({"n": 1.5, "list": [1, None, "ü"], "yes": True})
    asked = a_contribution(
        title="Größe \N{CAT FACE}",
        tags=["Python", "C++", "a b"],
        agent_model="m",
        agent_version="2",
        metadata=metadata,
    )
    old = (await server.traces.CreateTrace(asked)).created
    new = (await server.traces.CreateTrace(a_contribution(1, supersedes_trace_id=old.id))).created
    twin = (await server.traces.CreateTrace(a_contribution(1, tags=[], on_duplicate=ALLOW))).created
    records = records_of(await export(server.traces))
    for record, trace in zip(records, (old, new, twin), strict=True):
        assert (record.id, record.title, record.context) == (trace.id, trace.title, trace.context)
        assert (record.solution, record.tags, record.metadata) == (trace.solution, trace.tags, trace.metadata)
        assert (record.agent_model, record.agent_version) == (trace.agent_model, trace.agent_version)
        assert record.create_time == trace.create_time
        assert not record.HasField("embedding")
    assert records[0].tags == ["a-b", "cpp", "python"]
    assert records[0].metadata == metadata
    assert [record.supersedes_trace_id for record in records] == ["", old.id, ""]
    assert [record.on_duplicate for record in records] == [0, 0, ALLOW]
    assert not records[1].HasField("metadata")


async def test_only_live_traces_are_named_as_replaced(server: RunningServer) -> None:
    old = (await server.traces.CreateTrace(a_contribution(0))).created
    new = (await server.traces.CreateTrace(a_contribution(1, supersedes_trace_id=old.id))).created
    await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=old.id))
    [record] = records_of(await export(server.traces))
    assert (record.id, record.supersedes_trace_id) == (new.id, "")
    await server.traces.UndeleteTrace(pb.UndeleteTraceRequest(trace_id=old.id))
    assert [record.supersedes_trace_id for record in records_of(await export(server.traces))] == ["", old.id]
    # A filter leaves the replaced one out, not the link to it.
    [record] = records_of(await export(server.traces, filter=TraceFilter()))
    assert (record.id, record.supersedes_trace_id) == (new.id, old.id)


async def test_vectors_of_the_servers_model_only(server: RunningServer, database_url: str) -> None:
    vectors = [unit_vector(number) for number in range(4)]
    ids = list(map(str, await store_vectors(server.database, vectors)))
    of_no_model = "embedding = NULL, embedding_model_id = NULL, embedding_model_version = NULL"
    for trace_id, changes in (
        (ids[1], "embedding_model_id = 'another'"),
        (ids[2], of_no_model),
        (ids[3], "embedding_model_version = 'another'"),
    ):
        await administer(database_url, f"UPDATE traces SET {changes} WHERE id = '{trace_id}'")  # noqa: S608 - ours
    version = (await server.traces.GetServiceInfo(pb.GetServiceInfoRequest())).embedding_model.version
    await administer(database_url, f"UPDATE traces SET embedding_model_version = '{version}' WHERE id = '{ids[0]}'")  # noqa: S608
    records = {record.id: record for record in records_of(await export(server.traces, include_embeddings=True))}
    assert [trace_id for trace_id in ids if records[trace_id].HasField("embedding")] == [ids[0]]
    embedding = records[ids[0]].embedding
    assert embedding.model_id == INSTALLED_MODEL
    assert np.array_equal(np.frombuffer(embedding.packed_f32, dtype="<f4"), vectors[0])


async def test_nothing_to_export_ends_without_a_message(server: RunningServer) -> None:
    assert await export(server.traces) == []
    await server.traces.CreateTrace(a_contribution())
    [response] = await export(server.traces)
    assert await export(server.traces, cursor=response.cursor) == []
    assert await export(server.traces, filter=TraceFilter(tags_all=["rust"])) == []
    # What came later follows.
    later = (await server.traces.CreateTrace(a_contribution(1))).created
    assert ids_of(await export(server.traces, cursor=response.cursor)) == [later.id]


async def test_every_filter_and_none(server: RunningServer) -> None:
    stored = await store_varied(server.database, 60, Random(1))  # noqa: S311 - not a secret
    assert ids_of(await export(server.traces)) == oldest_first(stored, TraceFilter(include_superseded=True))
    filters = [TraceFilter(), *islice(mixed(stored, Random(3)), 40)]  # noqa: S311 - not a secret
    assert sum(bool(oldest_first(stored, asked)) for asked in filters) > 15
    for asked in filters:
        assert ids_of(await export(server.traces, filter=asked)) == oldest_first(stored, asked), asked
    for name, (asked, same_as) in WITH_UNKNOWN_TAGS.items():
        wanted = [] if same_as is None else oldest_first(stored, same_as)
        assert ids_of(await export(server.traces, filter=asked)) == wanted, name


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(1, [1] * 101), (50, [50, 50, 1]), (0, [100, 1]), (101, [101]), (500, [101])]
)
async def test_traces_come_in_messages(server: RunningServer, batch_size: int, sizes: list[int]) -> None:
    # Many at the same time, others a microsecond apart: ids decide.
    times = [START + timedelta(microseconds=number % 7) for number in range(101)]
    ids = await store_at(server.database, times)
    in_order = [str(trace_id) for _, trace_id in sorted(zip(times, ids, strict=True))]
    responses = await export(server.traces, batch_size=batch_size)
    assert [len(response.traces) for response in responses] == sizes
    assert ids_of(responses) == in_order
    for position in {0, len(responses) // 2, len(responses) - 1}:
        rest = await export(server.traces, batch_size=7, cursor=responses[position].cursor)
        assert ids_of(rest) == in_order[sum(sizes[: position + 1]) :]


async def test_no_message_exceeds_two_mebibytes(server: RunningServer, database_url: str) -> None:
    wide = "\N{CAT FACE}" * limits.CONTEXT_CHARACTERS  # 400 KB a trace as UTF-8
    metadata = objects(1)
    metadata.update({"k": "x" * 9_900})
    created = (await server.traces.CreateTrace(a_contribution(context=wide, solution=wide, metadata=metadata))).created
    await administer(database_url, copies_of(created.id, 12))
    for batch_size in (0, 1, 500):
        responses = await export(server.traces, include_embeddings=True, batch_size=batch_size)
        assert len(set(ids_of(responses))) == 12
        assert all(record.HasField("embedding") for record in records_of(responses))
        assert max(response.ByteSize() for response in responses) <= limits.RESPONSE_BYTES
        assert len(responses) == (12 if batch_size == 1 else 3)


async def test_many_vectors_exceed_a_message_before_texts_do(server: RunningServer, database_url: str) -> None:
    created = (await server.traces.CreateTrace(a_contribution(context="x" * 2_800))).created
    await administer(database_url, copies_of(created.id, 500))
    responses = await export(server.traces, include_embeddings=True, batch_size=500)
    assert len(set(ids_of(responses))) == 500
    assert len(responses) == 2
    assert max(response.ByteSize() for response in responses) <= limits.RESPONSE_BYTES


async def test_what_is_there_throughout_comes_exactly_once(server: RunningServer) -> None:
    random = Random(4)  # noqa: S311 - not a secret
    times = [START + timedelta(seconds=random.randrange(100)) for _ in range(150)]
    ids = [str(trace_id) for trace_id in await store_at(server.database, times)]
    disturbed: set[str] = set()

    async def create() -> None:
        await server.traces.CreateTrace(a_contribution(random.randrange(10**9)), metadata=ADA)

    async def delete() -> None:
        trace_id = random.choice([trace_id for trace_id in ids if trace_id not in disturbed])
        disturbed.add(trace_id)
        await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=trace_id), metadata=ADA)

    async def undelete() -> None:
        if disturbed:
            trace_id = random.choice(sorted(disturbed))
            await server.traces.UndeleteTrace(pb.UndeleteTraceRequest(trace_id=trace_id), metadata=ADA)

    async def edit() -> None:
        trace_id = random.choice([trace_id for trace_id in ids if trace_id not in disturbed])
        edited = trace_pb2.Trace(id=trace_id, title=f"Edited {random.random()}", tags=["edited"])
        mask = FieldMask(paths=[random.choice(["title", "tags"])])
        await server.traces.UpdateTrace(pb.UpdateTraceRequest(trace=edited, update_mask=mask), metadata=ADA)

    found = await _disturbed_export(server.traces, random, [create, delete, undelete, edit])
    assert len(found) == len(set(found))
    undisturbed = set(ids) - disturbed
    assert undisturbed <= set(found)
    assert len(undisturbed) > 100
    assert len(set(found) - set(ids)) > 5


async def _disturbed_export(
    traces: TraceServiceStub, random: Random, disturbances: list[Callable[[], Awaitable[None]]]
) -> list[str]:
    """Reads a few messages of each stream and goes on behind the last, while others write."""
    found: list[str] = []
    cursor, is_over = "", False
    while not is_over:
        request = ExportTracesRequest(cursor=cursor, batch_size=random.choice([1, 3, 8]))
        stream = traces.ExportTraces(request, timeout=20)
        is_over = True
        due = random.randint(1, 4)
        async for response in stream:
            found += [record.id for record in response.traces]
            cursor = response.cursor
            await random.choice(disturbances)()
            due -= 1
            if not due:
                stream.cancel()
                is_over = False
                break
    return found


async def test_a_stream_over_its_deadline_can_be_continued(server: RunningServer, database_url: str) -> None:
    ids = await store_at(server.database, [START + timedelta(seconds=number) for number in range(60)])
    await administer(database_url, ENLARGE)
    found: list[str] = []
    cursor = ""
    stream = server.traces.ExportTraces(ExportTracesRequest(batch_size=1), timeout=1)
    with suppress(grpc.aio.AioRpcError):
        async for response in stream:
            found += [record.id for record in response.traces]
            cursor = response.cursor
            await asyncio.sleep(0.1)
    assert await stream.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert 0 < len(found) < 60
    assert found + ids_of(await export(server.traces, cursor=cursor)) == list(map(str, ids))


async def test_a_server_that_stops_ends_exports_between_two_messages(
    start_server: ServerFactory, database_url: str
) -> None:
    found: list[str] = []
    cursor = ""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(start_server())
        ids = await store_at(server.database, [START + timedelta(seconds=number) for number in range(200)])
        await administer(database_url, ENLARGE)
        async with grpc.aio.insecure_channel(server.address) as channel:
            stream = TraceServiceStub(channel).ExportTraces(ExportTracesRequest(batch_size=1), timeout=20)
            async with refused("SERVER_STOPPING"):
                async for response in stream:
                    if not found:
                        stopping = asyncio.create_task(stack.aclose())
                    found += [record.id for record in response.traces]
                    cursor = response.cursor
        await stopping
    assert 0 < len(found) < 200
    async with start_server() as again:
        rest = ids_of(await export(again.traces, cursor=cursor))
    assert [*map(UUID, found), *map(UUID, rest)] == ids
