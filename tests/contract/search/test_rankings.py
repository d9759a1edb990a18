"""Rankings other than by similarity: hits, explanations, resume tokens and stop reasons (ADR 0025)."""

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.v1 import trace_pb2, vote_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vote_service_pb2 as vote_pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.conftest import RunningServer
from tests.contract.callers import caller
from tests.contract.search.searched_traces import QUERY, a_vector, every_stream, similarities, store_vectors, with_ties
from tests.contract.search.test_search_deadlines import in_time
from tests.integration.storage.storing import unit_vector
from tests.support.builders import a_contribution, hits_of, search
from tests.support.locks import held

BEST, HYBRID, TRUST = pb.RANKING_BEST, pb.RANKING_HYBRID, pb.RANKING_TRUST_WEIGHTED
CODE = r"TS'9\\17 \'quoted <b>O'Neill</b>"
COUNT = 120
VECTORS = with_ties(COUNT)


async def contribute(server: RunningServer, **fields: Any) -> str:
    return (await server.traces.CreateTrace(a_contribution(**fields))).created.id


async def contribute_codes(server: RunningServer) -> list[str]:
    """Traces that differ in a code alone, which hardly changes their vectors."""
    return [
        await contribute(
            server, number=number, title="The compiler stops", context=f"It prints error QX{4100 + 37 * number} only."
        )
        for number in range(12)
    ]


async def vote(server: RunningServer, trace_id: str, *, up: int = 0, down: int = 0) -> None:
    for number in range(up + down):
        request = vote_pb.CastVoteRequest(trace_id=trace_id, type=vote_pb2.VOTE_TYPE_UP)
        if number >= up:
            request.type, request.reason = vote_pb2.VOTE_TYPE_DOWN, vote_pb2.DOWN_REASON_INCORRECT
        await server.votes.CastVote(request, metadata=caller(number))


async def ids_of(server: RunningServer, **fields: Any) -> list[str]:
    hits = hits_of(await search(server.traces, explain=True, **fields))
    scores = [hit.explanation.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    return [hit.trace.id for hit in hits]


async def test_an_exact_code_is_found_by_its_word_and_explained(server: RunningServer) -> None:
    codes = await contribute_codes(server)
    for number in (3, 7, 11):
        text = f"main.qx(41,7): error QX{4100 + 37 * number}"
        [similar, *_] = hits_of(await search(server.traces, text=text, exact=True, explain=True))
        assert similar.explanation == pb.HitExplanation(score=similar.similarity)
        nearest = {hit.trace.id: hit for hit in hits_of(await search(server.traces, text=text, exact=True, limit=100))}
        [first, *_] = hits_of(await search(server.traces, text=text, ranking=HYBRID, explain=True))
        why = first.explanation
        assert first.trace.id == codes[number]
        assert first.similarity == nearest[first.trace.id].similarity
        assert (why.lexical_rank, why.trust_bonus) == (1, 0)
        assert why.vector_rank == list(nearest).index(first.trace.id) + 1
        similarities = [hit.similarity for hit in nearest.values()]
        scaled = (first.similarity - min(similarities)) / (max(similarities) - min(similarities))
        assert why.score == pytest.approx(0.5 * scaled + 0.5)


async def test_words_follow_every_change_of_a_trace(server: RunningServer) -> None:
    codes = await contribute_codes(server)
    asked: dict[str, Any] = {"text": "ZZ9", "ranking": HYBRID}
    hits = hits_of(await search(server.traces, **asked, explain=True, limit=100))
    assert not any(hit.explanation.HasField("lexical_rank") for hit in hits)
    trace = trace_pb2.Trace(id=codes[5], context="It prints ZZ9 now.")
    await server.traces.UpdateTrace(pb.UpdateTraceRequest(trace=trace, update_mask=FieldMask(paths=["context"])))
    assert (await ids_of(server, **asked))[0] == codes[5]
    await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=codes[5]))
    assert codes[5] not in await ids_of(server, **asked)


@pytest.mark.parametrize("text", [CODE, "'", "\\", "'' \\'", "a:* & !b | (c", "<!--" * 2000, "h1@" * 2600, "1 " * 4000])
async def test_whatever_a_text_holds_is_words_and_no_query(server: RunningServer, text: str) -> None:
    quoted = await contribute(server, title="Quotes", context=f"Somebody wrote {CODE} here.")
    others = await contribute_codes(server)
    found = await ids_of(server, text=text, ranking=HYBRID, limit=100)
    assert sorted(found) == sorted([quoted, *others])
    assert text != CODE or found[0] == quoted


async def test_filters_and_the_least_similarity_hold_for_what_words_find(server: RunningServer) -> None:
    codes = await contribute_codes(server)
    asked: dict[str, Any] = {"text": f"error QX{4100 + 37 * 2}", "ranking": HYBRID}
    other = await contribute(server, number=50, context="QX4174 and QX4137, it says.", tags=["cobol"])
    assert await ids_of(server, **asked, filter=TraceFilter(tags_any=["cobol"])) == [other]
    assert await ids_of(server, **asked, filter=TraceFilter(tags_any=["python"]), limit=100) != []
    assert other not in await ids_of(server, **asked, filter=TraceFilter(tags_none=["cobol"]), limit=100)
    responses = await search(server.traces, **asked, filter=TraceFilter(tags_all=["fortran"]))
    assert hits_of(responses) == []
    assert responses[-1].summary.stop_reason == pb.STOP_REASON_EXHAUSTED
    assert list(responses[-1].summary.unknown_tags) == ["fortran"]
    responses = await search(server.traces, **asked, min_similarity=0.999)
    assert hits_of(responses) == []
    assert responses[-1].summary.stop_reason == pb.STOP_REASON_MIN_SIMILARITY
    assert len(codes) == 12


async def test_votes_reorder_near_ties_alone(server: RunningServer) -> None:
    # Similarities to QUERY of 0.6, 0.58, 0.57 and nearly none.
    aside = unit_vector(5) - (unit_vector(5) @ QUERY) * QUERY
    aside /= (aside @ aside) ** 0.5
    vectors = [cosine * QUERY + (1 - cosine**2) ** 0.5 * aside for cosine in (0.6, 0.58, 0.57, 0.05)]
    first, second, third, far = map(str, await store_vectors(server.database, vectors))
    await vote(server, first, down=3)
    await vote(server, third, up=6)
    await vote(server, far, up=9)
    assert await ids_of(server, embedding=a_vector(), ranking=TRUST) == [third, second, first, far]
    hits = hits_of(await search(server.traces, embedding=a_vector(), ranking=TRUST, explain=True))
    assert [hit.explanation.vector_rank for hit in hits] == [3, 2, 1, 4]
    for hit in hits:
        assert -0.05 <= hit.explanation.trust_bonus <= 0.05
        assert hit.explanation.score == hit.similarity + hit.explanation.trust_bonus
    assert await ids_of(server, embedding=a_vector(), ranking=pb.RANKING_COSINE) == [first, second, third, far]


@pytest.mark.parametrize("limit", [7, 50, 100])
async def test_streams_together_hold_the_first_hundred_once(server: RunningServer, limit: int) -> None:
    stored = dict(zip(map(str, await store_vectors(server.database, VECTORS)), similarities(VECTORS), strict=True))
    nearest = sorted(stored, key=lambda trace_id: -stored[trace_id])
    await vote(server, nearest[30], up=4)
    fields: dict[str, Any] = {"embedding": a_vector(), "ranking": TRUST, "exact": True, "limit": limit}
    streams = await every_stream_in(server, fields)
    found = [hit.trace.id for responses in streams for hit in hits_of(responses)]
    assert len(found) == len(set(found)) == 100
    assert min(stored[trace_id] for trace_id in found) >= stored[nearest[99]] - 1e-6
    assert {responses[-1].summary.stop_reason for responses in streams} == {pb.STOP_REASON_LIMIT}
    whole = hits_of(await search(server.traces, **(fields | {"limit": 100})))
    assert found == [hit.trace.id for hit in whole]


async def every_stream_in(server: RunningServer, fields: dict[str, Any]) -> list[list[pb.SearchTracesResponse]]:
    return await every_stream(server.traces, batch_size=4, **fields)


async def test_fewer_than_a_hundred_are_exhausted(server: RunningServer) -> None:
    codes = await contribute_codes(server)
    for ranking in (BEST, HYBRID, TRUST):
        streams = await every_stream_in(server, {"text": "compiler", "ranking": ranking, "limit": 5})
        found = [hit.trace.id for responses in streams for hit in hits_of(responses)]
        assert sorted(found) == sorted(codes)
        reasons = [responses[-1].summary.stop_reason for responses in streams]
        assert reasons == [pb.STOP_REASON_LIMIT, pb.STOP_REASON_LIMIT, pb.STOP_REASON_EXHAUSTED]


async def test_without_time_for_the_order_hits_come_by_similarity(server: RunningServer, database_url: str) -> None:
    stored = list(map(str, await store_vectors(server.database, VECTORS[:20])))
    async with held(database_url, "LOCK TABLE votes"):
        # On a machine that is busy with other things, the time that is left may not do for reading them.
        for _ in range(4):
            responses = await in_time(server, 1.0, ranking=TRUST, limit=10)
            assert responses[-1].summary.stop_reason == pb.STOP_REASON_SCAN_BUDGET
            assert responses[-1].resume_token == ""
            hits = hits_of(responses)
            if hits:
                break
    assert len(hits) == 10
    assert {hit.trace.id for hit in hits} < set(stored)
    assert [hit.similarity for hit in hits] == sorted((hit.similarity for hit in hits), reverse=True)
