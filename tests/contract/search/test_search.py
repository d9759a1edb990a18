import asyncio

import grpc
import numpy as np
import pytest

from commontrace.domain import limits
from commontrace.embeddings.embedder import Embedder
from commontrace.v1 import trace_pb2, vector_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.conftest import RunningServer, administer
from tests.contract.search.searched_traces import a_vector
from tests.support.builders import a_contribution, hits_of, search

PROBLEMS = {
    "postgres": ("The database refuses connections", "Postgres says: too many clients already."),
    "css": ("A flexbox child overflows its parent", "Long words push the layout apart."),
    "cake": ("The sponge cake collapses in the oven", "It rises, then sinks in the middle."),
}


async def contribute_all(server: RunningServer) -> dict[str, str]:
    ids = {}
    for name, (title, context) in PROBLEMS.items():
        request = a_contribution(title=title, context=context, solution="See the title.", tags=[name])
        ids[name] = (await server.traces.CreateTrace(request)).created.id
    return ids


async def test_finds_by_meaning_without_a_common_word(server: RunningServer) -> None:
    ids = await contribute_all(server)
    questions = {
        "postgres": "connection pool exhausted on the SQL server",
        "css": "web page element wider than its container",
        "cake": "my baking falls flat",
    }
    for name, question in questions.items():
        responses = await search(server.traces, text=question, limit=1)
        assert [hit.trace.id for hit in hits_of(responses)] == [ids[name]]


async def test_similarity_is_the_cosine_and_never_increases(server: RunningServer, embedder: Embedder) -> None:
    await contribute_all(server)
    hits = hits_of(await search(server.traces, text="database trouble"))
    [query] = await embedder.encode(["database trouble"])
    texts = [f"{hit.trace.title}\n\n{hit.trace.context}\n\n{hit.trace.solution}" for hit in hits]
    expected = [float(embedding.vector @ query.vector) for embedding in await embedder.encode(texts)]
    assert [hit.similarity for hit in hits] == pytest.approx(expected, abs=1e-5)
    assert [hit.similarity for hit in hits] == sorted((hit.similarity for hit in hits), reverse=True)


@pytest.mark.parametrize("packed", [True, False], ids=["packed_f32", "float_vector"])
async def test_a_given_embedding_finds_what_its_text_finds(
    server: RunningServer, embedder: Embedder, *, packed: bool
) -> None:
    await contribute_all(server)
    [embedding] = await embedder.encode(["database trouble"])
    components = embedding.vector * 37.5  # only the direction counts
    vector = vector_pb2.Vector(model_id=embedder.model_id)
    if packed:
        vector.packed_f32 = components.astype("<f4").tobytes()
    else:
        vector.float_vector.values.extend(components.tolist())
    by_text = hits_of(await search(server.traces, text="database trouble"))
    by_vector = hits_of(await search(server.traces, embedding=vector))
    assert [hit.trace.id for hit in by_vector] == [hit.trace.id for hit in by_text]
    assert [hit.similarity for hit in by_vector] == pytest.approx([hit.similarity for hit in by_text], abs=1e-6)


async def test_more_like_this_leaves_itself_out(server: RunningServer) -> None:
    ids = await contribute_all(server)
    responses = await search(server.traces, trace_id=ids["css"].upper())
    assert {hit.trace.id for hit in hits_of(responses)} == {ids["postgres"], ids["cake"]}
    assert responses[-1].summary.stop_reason == pb.STOP_REASON_EXHAUSTED


async def test_an_empty_server_answers_with_a_summary(server: RunningServer) -> None:
    [response] = await search(server.traces, text="anything")
    assert not response.hits
    assert response.summary.stop_reason == pb.STOP_REASON_EXHAUSTED
    assert response.summary.exact


@pytest.mark.parametrize(
    ("limit", "count", "reason"),
    [
        (1, 1, pb.STOP_REASON_LIMIT),
        (24, 24, pb.STOP_REASON_LIMIT),
        (25, 25, pb.STOP_REASON_LIMIT),
        (26, 25, pb.STOP_REASON_EXHAUSTED),
        (1000, 25, pb.STOP_REASON_EXHAUSTED),
        (0, 10, pb.STOP_REASON_LIMIT),
    ],
)
async def test_never_short(server: RunningServer, embedder: Embedder, limit: int, count: int, reason: int) -> None:
    # One after the other: all at once, the last would wait too long for a connection on a busy machine.
    for number in range(25):
        await server.traces.CreateTrace(a_contribution(number))
    responses = await search(server.traces, text="number 7", limit=limit)
    summary = responses[-1].summary
    assert len({hit.trace.id for hit in hits_of(responses)}) == summary.hit_count == count
    assert (summary.stop_reason, summary.dropped_count) == (reason, 0)
    assert summary.exact == (reason == pb.STOP_REASON_EXHAUSTED)
    assert summary.embedding_model_id == embedder.model_id
    assert not any(response.HasField("summary") for response in responses[:-1])


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(1, [1] * 20), (7, [7, 7, 6]), (0, [16, 4]), (20, [20]), (1000, [20])]
)
async def test_hits_come_in_batches_and_the_summary_rides_in_the_last(
    server: RunningServer, batch_size: int, sizes: list[int]
) -> None:
    await asyncio.gather(*(server.traces.CreateTrace(a_contribution(number)) for number in range(20)))
    responses = await search(server.traces, text="number", limit=20, batch_size=batch_size)
    assert [len(response.hits) for response in responses] == sizes
    similarities = [hit.similarity for hit in hits_of(responses)]
    assert similarities == sorted(similarities, reverse=True)


@pytest.mark.parametrize("view", [trace_pb2.TRACE_VIEW_UNSPECIFIED, trace_pb2.TRACE_VIEW_FULL])
async def test_full_view_is_the_default(server: RunningServer, view: trace_pb2.TraceView.ValueType) -> None:
    created = (await server.traces.CreateTrace(a_contribution())).created
    [hit] = hits_of(await search(server.traces, text="number", view=view))
    assert hit.trace == created


async def test_basic_view_leaves_out_the_long_texts(server: RunningServer) -> None:
    created = (await server.traces.CreateTrace(a_contribution())).created
    [hit] = hits_of(await search(server.traces, text="number", view=trace_pb2.TRACE_VIEW_BASIC))
    created.ClearField("context")
    created.ClearField("solution")
    assert hit.trace == created


async def test_no_message_exceeds_two_mebibytes(server: RunningServer) -> None:
    wide = "\N{CAT FACE}" * limits.CONTEXT_CHARACTERS  # 400 KB a trace as UTF-8
    for number in range(12):
        await server.traces.CreateTrace(a_contribution(number, context=wide, solution=wide))
    responses = await search(server.traces, text="number", limit=12)
    assert len(hits_of(responses)) == 12
    assert max(response.ByteSize() for response in responses) <= limits.RESPONSE_BYTES


async def test_control_characters_in_a_query_are_ignored(server: RunningServer) -> None:
    await contribute_all(server)
    plain = hits_of(await search(server.traces, text="database trouble"))
    pasted = hits_of(await search(server.traces, text="\x1bdatabase\x07 \u202etrouble\x9f"))
    assert [hit.similarity for hit in pasted] == [hit.similarity for hit in plain]


async def test_vectors_of_another_model_are_never_compared(server: RunningServer, database_url: str) -> None:
    await contribute_all(server)
    await administer(database_url, "UPDATE traces SET embedding_model_id = 'another' WHERE title LIKE 'A flexbox%'")
    responses = await search(server.traces, text="flexbox child overflows")
    assert len(hits_of(responses)) == 2
    assert responses[-1].summary.stop_reason == pb.STOP_REASON_EXHAUSTED


async def test_order_of_ties_is_by_id(server: RunningServer) -> None:
    await asyncio.gather(*(server.traces.CreateTrace(a_contribution()) for _ in range(8)))
    ids = [hit.trace.id for hit in hits_of(await search(server.traces, text="number", limit=9))]
    assert ids == sorted(ids)


async def test_one_vector_norm_extreme_to_the_other(server: RunningServer, embedder: Embedder) -> None:
    await contribute_all(server)
    direction = np.zeros(embedder.dimensions)
    direction[3] = 1.0
    similarities = []
    for norm in (limits.VECTOR_NORM_MINIMUM * 1.01, 1.0, limits.VECTOR_NORM_MAXIMUM * 0.99):
        packed = (direction * norm).astype("<f4").tobytes()
        vector = vector_pb2.Vector(packed_f32=packed, model_id=embedder.model_id)
        similarities.append([hit.similarity for hit in hits_of(await search(server.traces, embedding=vector))])
    assert similarities[0] == pytest.approx(similarities[1])
    assert similarities[2] == pytest.approx(similarities[1])


async def test_the_longest_list_of_unknown_tags_fits_beside_the_hits(server: RunningServer) -> None:
    wide = "\N{CAT FACE}" * 50_000
    for number in range(6):
        await server.traces.CreateTrace(a_contribution(number, context=wide, solution=wide, tags=[]))
    names = [f"{number:02}" + "\N{CJK UNIFIED IDEOGRAPH-4E00}" * 48 for number in range(20)]
    asked = TraceFilter(tags_none=names)
    responses = await search(server.traces, text="number", filter=asked)
    assert len(hits_of(responses)) == 6
    assert list(responses[-1].summary.unknown_tags) == names
    assert max(response.ByteSize() for response in responses) <= 2 << 20


async def test_superseded_traces_appear_on_request_only(server: RunningServer) -> None:
    old = (await server.traces.CreateTrace(a_contribution(1))).created
    new = (await server.traces.CreateTrace(a_contribution(2, supersedes_trace_id=old.id))).created
    assert [hit.trace.id for hit in hits_of(await search(server.traces, text="number"))] == [new.id]
    with_old = TraceFilter(include_superseded=True)
    hits = hits_of(await search(server.traces, text="number", filter=with_old))
    assert {hit.trace.id: hit.trace.superseded_by_trace_id for hit in hits} == {old.id: new.id, new.id: ""}


@pytest.mark.parametrize(("count", "said"), [(0, "0 components"), (1, "1 component"), (2, "2 components")])
async def test_a_vector_of_another_size_is_told_its_own(server: RunningServer, count: int, said: str) -> None:
    vector = a_vector()
    vector.float_vector.values[:] = [1.0] * count
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        [_ async for _ in server.traces.SearchTraces(pb.SearchTracesRequest(embedding=vector))]
    assert (failure.value.details() or "").endswith(f"; it has {said}")
