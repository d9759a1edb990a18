"""Late interaction (RANKING_BEST): the first twenty of a fusion in a new order, with and without stored tokens."""

from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.conftest import RunningServer, administer
from tests.contract.search.searched_traces import every_stream
from tests.contract.search.test_search_deadlines import in_time
from tests.support.builders import a_contribution, hits_of, search
from tests.support.locks import held

TOPICS = (
    "The connection pool is exhausted because sessions are never closed",
    "The connection pool is too small for the workers of the web server",
    "A pool of threads waits for a lock that the closed session holds",
    "The swimming pool's pump runs at night",
    "Sessions of the browser expire although the cookie is renewed",
)
TEXT = "connections run out: who forgets to close them?"
COUNT = 30


async def contribute_topics(server: RunningServer) -> list[str]:
    ids = []
    for number in range(COUNT):
        topic = TOPICS[number % len(TOPICS)]
        context = f"{topic}, it says in report {number}."
        contribution = a_contribution(number, title=f"{topic} ({number})", context=context)
        ids.append((await server.traces.CreateTrace(contribution)).created.id)
    return ids


async def ranked(server: RunningServer, ranking: "pb.Ranking.ValueType", **fields: Any) -> list[pb.SearchHit]:
    asked: dict[str, Any] = {"text": TEXT, "exact": True, "explain": True, "limit": 100, "ranking": ranking} | fields
    hits = hits_of(await search(server.traces, **asked))
    scores = [hit.explanation.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    return hits


def ids_of(hits: list[pb.SearchHit]) -> list[str]:
    return [hit.trace.id for hit in hits]


async def test_the_first_twenty_are_in_an_order_of_their_own(server: RunningServer) -> None:
    await contribute_topics(server)
    fused, best = await ranked(server, pb.RANKING_HYBRID), await ranked(server, pb.RANKING_BEST)
    assert sorted(ids_of(best[:20])) == sorted(ids_of(fused[:20]))
    assert ids_of(best[20:]) == ids_of(fused[20:])
    assert ids_of(best) != ids_of(fused)
    assert not any(hit.explanation.HasField("token_similarity") for hit in (*fused, *best[20:]))
    by_fusion = {hit.trace.id: hit.explanation.score for hit in fused[:20]}
    by_tokens = {hit.trace.id: hit.explanation.token_similarity for hit in best[:20]}
    assert all(0 < similarity < 1 for similarity in by_tokens.values())
    for hit in best[:20]:
        scaled = [
            (scores[hit.trace.id] - min(scores.values())) / (max(scores.values()) - min(scores.values()))
            for scores in (by_fusion, by_tokens)
        ]
        assert hit.explanation.score == pytest.approx(1 + 0.3 * scaled[0] + 0.7 * scaled[1])
    for hit, same in zip(best[20:], fused[20:], strict=True):
        assert hit.explanation == same.explanation


async def test_traces_without_tokens_rank_by_the_fusion(server: RunningServer, database_url: str) -> None:
    await contribute_topics(server)
    fused = await ranked(server, pb.RANKING_HYBRID)
    first = fused[0].trace.id
    await administer(database_url, f"DELETE FROM trace_tokens WHERE trace_id = '{first}'")  # noqa: S608 - our own id
    best = await ranked(server, pb.RANKING_BEST)
    without = next(hit for hit in best if hit.trace.id == first)
    assert not without.explanation.HasField("token_similarity")
    assert without.explanation.score == pytest.approx(2)
    assert without.explanation.vector_rank == fused[0].explanation.vector_rank
    await administer(database_url, "UPDATE trace_tokens SET model_version = 'another'")
    assert await ranked(server, pb.RANKING_BEST) == await ranked(server, pb.RANKING_HYBRID)


@pytest.mark.parametrize("text", ["?!", "...", "\u2192 \u2717"])
async def test_a_text_without_letters_and_digits_ranks_by_the_fusion(server: RunningServer, text: str) -> None:
    await contribute_topics(server)
    assert await ranked(server, pb.RANKING_BEST, text=text) == await ranked(server, pb.RANKING_HYBRID, text=text)


async def test_a_trace_without_letters_and_digits_is_found_too(server: RunningServer) -> None:
    signs = a_contribution(title="?!", context="...", solution="->")
    [trace_id, *_] = [(await server.traces.CreateTrace(signs)).created.id, *await contribute_topics(server)]
    assert trace_id in ids_of(await ranked(server, pb.RANKING_BEST))


async def test_streams_together_hold_the_whole_order_once(server: RunningServer) -> None:
    await contribute_topics(server)
    fields: dict[str, Any] = {"text": TEXT, "ranking": pb.RANKING_BEST, "exact": True, "limit": 7}
    streams = await every_stream(server.traces, batch_size=4, **fields)
    found = [hit.trace.id for responses in streams for hit in hits_of(responses)]
    assert found == ids_of(await ranked(server, pb.RANKING_BEST))
    assert len(found) == COUNT


async def test_without_time_for_tokens_hits_come_by_the_fusion(server: RunningServer, database_url: str) -> None:
    await contribute_topics(server)
    fused = ids_of(await ranked(server, pb.RANKING_HYBRID))
    async with held(database_url, "LOCK TABLE trace_tokens"):
        # On a machine that is busy with other things, the time that is left may not do for the words either.
        for _ in range(4):
            responses = await in_time(server, 1.0, embedding=None, text=TEXT, ranking=pb.RANKING_BEST, limit=10)
            assert responses[-1].summary.stop_reason == pb.STOP_REASON_SCAN_BUDGET
            if ids_of(hits_of(responses)) == fused[:10]:
                break
    assert ids_of(hits_of(responses)) == fused[:10]


async def test_a_filter_that_takes_long_for_words_leaves_the_hits_by_similarity(
    server: RunningServer, database_url: str
) -> None:
    await contribute_topics(server)
    await administer(database_url, """UPDATE traces SET metadata_json = '{"team": "blue"}'""")
    metadata = Struct()
    metadata.update({"team": "blue"})
    asked: dict[str, Any] = {"text": TEXT, "filter": TraceFilter(metadata=metadata), "limit": 10, "exact": True}
    nearest = ids_of(hits_of(await search(server.traces, **asked)))
    async with held(database_url, "LOCK TABLE trace_words"):
        responses = await search(server.traces, **asked, ranking=pb.RANKING_BEST)
    assert responses[-1].summary.stop_reason == pb.STOP_REASON_SCAN_BUDGET
    assert ids_of(hits_of(responses)) == nearest
    assert len(nearest) == 10
