"""Verdicts: the probability that what a search found answers its question (ADR 0060)."""

from typing import Any

import pytest
import pytest_asyncio

from commontrace.domain.search.verdict import calibration_of
from commontrace.embeddings.embedder import Embedder
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.conftest import RunningServer, ServerFactory
from tests.contract.search.searched_traces import a_vector, every_stream
from tests.contract.search.test_search import PROBLEMS
from tests.integration.storage.reembedding_runs import move_to
from tests.support.builders import a_contribution, hits_of, search

# Of the server that these tests share.
pytestmark = pytest.mark.asyncio(loop_scope="module")

NEAR = "Postgres says too many clients already, the database refuses connections"
FAR = "who won the chess championship of 1972"
RANKINGS = [pb.RANKING_COSINE, pb.RANKING_HYBRID, pb.RANKING_BEST, pb.RANKING_TRUST_WEIGHTED]


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def stored(shared_server: RunningServer) -> list[str]:
    """Ids of the traces, each with its name as its tag."""
    requests = [
        a_contribution(title=title, context=context, solution="See the title.", tags=[name])
        for name, (title, context) in PROBLEMS.items()
    ]
    return [(await shared_server.traces.CreateTrace(request)).created.id for request in requests]


async def summary_of(server: RunningServer, **fields: Any) -> pb.SearchSummary:
    return (await search(server.traces, **fields))[-1].summary


async def probability_of(server: RunningServer, **fields: Any) -> float:
    summary = await summary_of(server, **fields)
    assert summary.HasField("answer_probability")
    return summary.answer_probability


@pytest.mark.parametrize("ranking", RANKINGS)
async def test_a_near_trace_is_likely_to_answer_and_a_far_one_is_not(
    shared_server: RunningServer, ranking: pb.Ranking.ValueType
) -> None:
    near = await summary_of(shared_server, text=NEAR, ranking=ranking)
    far = await summary_of(shared_server, text=FAR, ranking=ranking)
    assert (near.verdict, far.verdict) == (pb.VERDICT_LIKELY, pb.VERDICT_UNLIKELY)
    assert near.answer_probability >= 0.6
    assert 0 < far.answer_probability < 0.2
    assert far.hit_count == len(PROBLEMS)


@pytest.mark.parametrize("ranking", RANKINGS)
@pytest.mark.parametrize("fields", [{}, {"exact": True}, {"limit": 1}, {"min_similarity": 0.999}])
async def test_the_most_similar_trace_that_passes_the_filter_decides(
    shared_server: RunningServer, embedder: Embedder, ranking: pb.Ranking.ValueType, fields: dict[str, Any]
) -> None:
    calibration = calibration_of(embedder)
    assert calibration is not None
    for trace_filter in (TraceFilter(), TraceFilter(tags_any=["css", "cake"]), TraceFilter(tags_any=["cake"])):
        asked: dict[str, Any] = {"text": NEAR, "filter": trace_filter}
        best = hits_of(await search(shared_server.traces, exact=True, **asked))[0].similarity
        found = await probability_of(shared_server, ranking=ranking, **asked, **fields)
        assert found == pytest.approx(calibration.probability(best), abs=1e-5)


async def test_without_any_trace_the_probability_is_zero(shared_server: RunningServer) -> None:
    for trace_filter in (TraceFilter(tags_all=["unknown"]), TraceFilter(agent_models=["none"])):
        summary = await summary_of(shared_server, text=NEAR, filter=trace_filter)
        assert summary.HasField("answer_probability")
        assert (summary.answer_probability, summary.verdict) == (0, pb.VERDICT_UNLIKELY)


async def test_only_questions_have_a_verdict(shared_server: RunningServer, stored: list[str]) -> None:
    for query in ({"embedding": a_vector()}, {"trace_id": stored[0]}):
        summary = await summary_of(shared_server, **query)
        assert summary.verdict == pb.VERDICT_UNSPECIFIED
        assert not summary.HasField("answer_probability")
        assert summary.hit_count > 0


@pytest.mark.parametrize("ranking", RANKINGS)
async def test_below_the_least_probability_no_hit_is_sent(
    shared_server: RunningServer, ranking: pb.Ranking.ValueType
) -> None:
    asked: dict[str, Any] = {"text": NEAR, "ranking": ranking, "limit": 2}
    probability = await probability_of(shared_server, **asked)
    [silent] = await search(shared_server.traces, min_probability=probability + 1e-6, **asked)
    assert list(silent.hits) == []
    assert silent.resume_token == ""
    assert (silent.summary.stop_reason, silent.summary.hit_count) == (pb.STOP_REASON_MIN_PROBABILITY, 0)
    assert silent.summary.answer_probability == pytest.approx(probability)
    assert silent.summary.verdict == pb.VERDICT_LIKELY
    responses = await search(shared_server.traces, min_probability=probability - 1e-6, **asked)
    assert len(hits_of(responses)) == 2
    assert responses[-1].summary.stop_reason == pb.STOP_REASON_LIMIT


@pytest.mark.parametrize("ranking", RANKINGS)
async def test_a_stream_that_continues_another_has_no_verdict_and_goes_on(
    shared_server: RunningServer, stored: list[str], ranking: pb.Ranking.ValueType
) -> None:
    streams = await every_stream(shared_server.traces, text=NEAR, limit=1, ranking=ranking, min_probability=0.5)
    found = [hit.trace.id for responses in streams for hit in hits_of(responses)]
    assert sorted(found) == sorted(stored)
    summaries = [responses[-1].summary for responses in streams]
    assert summaries[0].verdict == pb.VERDICT_LIKELY
    assert len(summaries) > 1
    for summary in summaries[1:]:
        assert summary.verdict == pb.VERDICT_UNSPECIFIED
        assert not summary.HasField("answer_probability")


@pytest.mark.asyncio(loop_scope="function")
async def test_a_model_without_a_calibration_has_no_verdict(start_server: ServerFactory, database_url: str) -> None:
    lexical = LexicalEmbedder(96)
    await move_to(lexical, database_url)
    async with start_server(embedder=lexical) as running:
        await running.traces.CreateTrace(a_contribution(1))
        summary = await summary_of(running, text="trace number 1")
    assert (summary.hit_count, summary.verdict) == (1, pb.VERDICT_UNSPECIFIED)
    assert not summary.HasField("answer_probability")
