"""`SearchSummary.pending_count`: what a search cannot find yet (ADR 0060)."""

import asyncio
import time
from typing import Any

import pytest

from commontrace.storage.search.pending import MOST_JOBS
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.conftest import RunningServer, ServerFactory, administer, server_settings
from tests.contract.search.searched_traces import a_vector
from tests.contract.search.test_search_deadlines import in_time
from tests.support.builders import a_contribution, search
from tests.support.locks import held
from tests.support.told_embedder import ToldEmbedder, away


@pytest.fixture
def server(workerless: RunningServer) -> RunningServer:
    return workerless


async def contribute(server: RunningServer, number: int, **fields: Any) -> str:
    return (await server.traces.CreateTrace(a_contribution(number, **fields))).created.id


async def summary_of(server: RunningServer, **fields: Any) -> pb.SearchSummary:
    return (await search(server.traces, **({"embedding": a_vector()} | fields)))[-1].summary


async def pending(server: RunningServer, **fields: Any) -> int:
    summary = await summary_of(server, **fields)
    assert summary.HasField("pending_count")
    return summary.pending_count


@pytest.mark.parametrize("query", [{}, {"text": "number"}], ids=["vector", "text"])
async def test_an_empty_answer_after_a_contribution_says_why(
    server: RunningServer, told: ToldEmbedder, query: dict[str, Any]
) -> None:
    assert await pending(server, **query) == 0
    told.answer = away
    await contribute(server, 1)
    told.answer = lambda _texts: None
    summary = await summary_of(server, **query)
    assert (summary.hit_count, summary.pending_count, summary.stop_reason) == (0, 1, pb.STOP_REASON_EXHAUSTED)


@pytest.mark.parametrize("ranking", [pb.RANKING_COSINE, pb.RANKING_HYBRID, pb.RANKING_TRUST_WEIGHTED])
async def test_a_full_answer_counts_what_this_server_has_queued_since(
    server: RunningServer, told: ToldEmbedder, ranking: pb.Ranking.ValueType
) -> None:
    await contribute(server, 0)
    asked: dict[str, Any] = {"text": "number", "limit": 1, "ranking": ranking}
    assert await pending(server, **asked) == 0
    for number in (1, 2):
        told.answer = away
        await contribute(server, number)
        told.answer = lambda _texts: None
        assert await pending(server, **asked) == number


async def test_it_passes_the_filter_as_hits_do(server: RunningServer, told: ToldEmbedder) -> None:
    told.answer = away
    old = await contribute(server, 1, tags=["go"], agent_model="m", metadata={"place": "here"})
    await contribute(server, 2, tags=["go", "python"], supersedes_trace_id=old)
    await contribute(server, 3, tags=["python"])
    for count, filter_fields in (
        (2, {}),
        (3, {"include_superseded": True}),
        (1, {"tags_all": ["go", "python"]}),
        (2, {"tags_any": ["go", "python"]}),
        (1, {"tags_none": ["go"]}),
        (0, {"tags_all": ["cobol"]}),
        (0, {"agent_models": ["m"]}),
        (1, {"agent_models": ["m"], "include_superseded": True}),
        (1, {"metadata": {"place": "here"}, "include_superseded": True}),
        (0, {"metadata": {"place": "there"}, "include_superseded": True}),
    ):
        assert await pending(server, filter=TraceFilter(**filter_fields)) == count, filter_fields


async def test_what_nobody_can_find_does_not_wait(server: RunningServer, told: ToldEmbedder, database_url: str) -> None:
    ready = await contribute(server, 9)
    await administer(database_url, f"INSERT INTO encoding_jobs (trace_id) VALUES ('{ready}')")  # noqa: S608 - our own id
    told.answer = away
    deleted, hidden, given_up, _waiting = [await contribute(server, number) for number in range(4)]
    await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=deleted))
    await server.traces.HideTrace(pb.HideTraceRequest(trace_id=hidden, reason="a test"))
    await administer(database_url, f"UPDATE encoding_jobs SET given_up_at = now() WHERE trace_id = '{given_up}'")  # noqa: S608 - our own id
    assert await pending(server) == 2
    await server.traces.UndeleteTrace(pb.UndeleteTraceRequest(trace_id=deleted))
    assert await pending(server) == 3


async def test_a_trace_that_got_its_vector_waits_no_longer(start_server: ServerFactory, told: ToldEmbedder) -> None:
    told.answer = away
    async with start_server(embedder=told) as running:
        await contribute(running, 1)
        assert await pending(running) == 1
        told.answer = lambda _texts: None
        async with asyncio.timeout(30):
            while await pending(running):  # noqa: ASYNC110 - the server is asked
                await asyncio.sleep(0.02)
        assert (await summary_of(running)).hit_count == 1


async def test_another_server_knows_at_once_of_short_answers_and_soon_of_full_ones(
    start_server: ServerFactory, told: ToldEmbedder
) -> None:
    settings = server_settings(encoding_worker=False)
    async with start_server(settings=settings, embedder=told) as one, start_server(settings=settings) as other:
        await contribute(one, 0)
        assert await pending(other, limit=1) == 0
        told.answer = away
        await contribute(one, 1)
        assert await pending(other) == 1
        async with asyncio.timeout(10):
            while await pending(other, limit=1) != 1:  # noqa: ASYNC110 - the server is asked
                await asyncio.sleep(0.05)


async def test_no_more_jobs_are_read_than_the_most(server: RunningServer, database_url: str) -> None:
    first = await contribute(server, 0)
    copies = f"""INSERT INTO traces (id, title, context_text, solution_text, contributor_id)
        SELECT gen_random_uuid(), title, context_text, solution_text, contributor_id
        FROM traces, generate_series(1, {MOST_JOBS + 50}) WHERE id = '{first}'"""  # noqa: S608 - our own id
    await administer(database_url, copies)
    await administer(database_url, f"INSERT INTO encoding_jobs (trace_id) SELECT id FROM traces WHERE id <> '{first}'")  # noqa: S608 - our own id
    assert await pending(server) == MOST_JOBS


async def test_hits_do_not_wait_long_for_the_count(server: RunningServer, database_url: str) -> None:
    await contribute(server, 0)
    async with held(database_url, "LOCK TABLE encoding_jobs"):
        began = time.monotonic()
        summary = await summary_of(server)
        seconds = time.monotonic() - began
    assert summary.hit_count == 1
    assert not summary.HasField("pending_count")
    # A quarter of a second, and what a busy machine adds; the statement itself would wait for two seconds.
    assert seconds < 1.5


async def test_where_time_is_short_hits_are_sent_and_nothing_is_counted(
    server: RunningServer, database_url: str
) -> None:
    await contribute(server, 0)
    async with held(database_url, "LOCK TABLE encoding_jobs"), held(database_url, "LOCK TABLE trace_words"):
        # The words are waited for until all but the time for sending is over.
        for _ in range(4):
            responses = await in_time(server, 1.0, embedding=None, text="number", ranking=pb.RANKING_HYBRID)
            summary = responses[-1].summary
            assert summary.stop_reason == pb.STOP_REASON_SCAN_BUDGET
            assert not summary.HasField("pending_count")
            if summary.hit_count:
                break
    assert summary.hit_count == 1


async def test_near_misses_are_what_was_compared_and_is_not_similar_enough(server: RunningServer) -> None:
    for number in range(5):
        await contribute(server, number)
    hits = [hit for message in await search(server.traces, text="number") for hit in message.hits]
    least = (hits[1].similarity + hits[2].similarity) / 2
    for query in (
        {},
        {"exact": True},
        {"ranking": pb.RANKING_TRUST_WEIGHTED},
        {"ranking": pb.RANKING_HYBRID},
        {"ranking": pb.RANKING_BEST},
        {"filter": TraceFilter(tags_any=["python"])},
    ):
        summary = await summary_of(server, embedding=None, text="number", min_similarity=least, **query)
        assert (summary.hit_count, summary.near_miss_count) == (2, 3), query
        assert (await summary_of(server, embedding=None, text="number", **query)).near_miss_count == 0
    full = await summary_of(server, embedding=None, text="number", min_similarity=least, limit=2)
    assert (full.stop_reason, full.near_miss_count) == (pb.STOP_REASON_LIMIT, 0)
