import asyncio
from contextlib import suppress
from typing import Any

import grpc
import pytest

from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.conftest import RunningServer, administer, query
from tests.contract.search.searched_traces import a_vector, ids_in, store_vectors
from tests.integration.storage.storing import unit_vector
from tests.support.builders import a_contribution, copies_of, hits_of
from tests.support.locks import held

# Exact searches add 0 to each distance. In a database with this operator, that takes 50 ms for each trace.
_SLOW_EXACT_SEARCHES = (
    "CREATE FUNCTION slowly(float8, integer) RETURNS float8 VOLATILE LANGUAGE plpgsql"
    " AS 'BEGIN PERFORM pg_sleep(0.05); RETURN $1; END'",
    "CREATE OPERATOR + (LEFTARG = float8, RIGHTARG = integer, FUNCTION = slowly)",
)
COUNT = 40


async def in_time(server: RunningServer, seconds: float, **fields: Any) -> list[pb.SearchTracesResponse]:
    """Every message of a search stream that ends with a summary before the deadline.

    The server has 50 ms for that; on a machine that is busy with other things, one of a few attempts must do.
    """
    request = pb.SearchTracesRequest(**({"embedding": a_vector()} | fields))
    for _ in range(4):
        try:
            return [response async for response in server.traces.SearchTraces(request, timeout=seconds)]
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
    raise AssertionError("the summary never came in time")


async def refused_in_time(server: RunningServer, seconds: float, **fields: Any) -> None:
    """Asserts that the server refuses a search whose deadline leaves no time, in at least one of a few attempts."""
    request = pb.SearchTracesRequest(**({"embedding": a_vector()} | fields))
    told = set()
    for _ in range(4):
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            [_ async for _ in server.traces.SearchTraces(request, timeout=seconds)]
        assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        told.add(failure.value.details())
        if any(text and text.startswith("the deadline left no time") for text in told):
            return
    raise AssertionError(told)


async def running_queries(database_url: str) -> int:
    [[count]] = await query(
        database_url,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND state = 'active' AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
    )
    return int(count)


@pytest.fixture
async def stored(server: RunningServer, database_url: str) -> list[str]:
    """A warm server with forty traces, which an exact search compares in two seconds."""
    ids = await store_vectors(server.database, [unit_vector(number) for number in range(COUNT)])
    await asyncio.gather(*(in_time(server, 5, limit=1) for _ in range(5)))
    for statement in _SLOW_EXACT_SEARCHES:
        await administer(database_url, statement)
    return list(map(str, ids))


async def test_no_time_to_prove_that_nothing_is_missing(server: RunningServer, stored: list[str]) -> None:
    responses = await in_time(server, 0.6, limit=100)
    summary = responses[-1].summary
    assert (summary.stop_reason, summary.exact) == (pb.STOP_REASON_SCAN_BUDGET, False)
    found = ids_in(responses)
    assert 0 < len(found) == summary.hit_count <= COUNT
    assert set(found) <= set(stored)
    assert responses[-1].resume_token == ""


@pytest.mark.usefixtures("stored")
async def test_with_more_time_the_same_search_is_proven(server: RunningServer) -> None:
    for seconds in (10.0, None):
        request = pb.SearchTracesRequest(embedding=a_vector(), limit=100)
        responses = [response async for response in server.traces.SearchTraces(request, timeout=seconds)]
        summary = responses[-1].summary
        assert (summary.stop_reason, summary.exact) == (pb.STOP_REASON_EXHAUSTED, True)
        assert summary.hit_count == COUNT


@pytest.mark.usefixtures("stored")
async def test_a_full_answer_needs_no_proof(server: RunningServer) -> None:
    responses = await in_time(server, 0.6, limit=10)
    assert responses[-1].summary.stop_reason == pb.STOP_REASON_LIMIT
    assert len(hits_of(responses)) == 10


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("how", ["exact", "exact by votes", "exact under a filter", "continued"])
async def test_no_time_for_a_pass_is_no_answer_without_hits(server: RunningServer, how: str) -> None:
    fields: dict[str, Any] = {"limit": 100, "exact": how.startswith("exact")}
    if how == "continued":
        fields["limit"] = 5
        fields["resume_token"] = (await in_time(server, 5, limit=5))[-1].resume_token
    if how == "exact by votes":
        fields["ranking"] = pb.RANKING_TRUST_WEIGHTED
    if how == "exact under a filter":
        fields["filter"] = TraceFilter(include_superseded=True, contributor_ids=[])
    await refused_in_time(server, 0.5, **fields)


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("how", ["vector", "text", "hybrid", "more like this"])
async def test_short_deadlines_bring_hits_or_fail(server: RunningServer, stored: list[str], how: str) -> None:
    kinds: dict[str, dict[str, Any]] = {
        "vector": {"embedding": a_vector()},
        "text": {"text": "anything"},
        "hybrid": {"text": "anything", "ranking": pb.RANKING_HYBRID},
        "more like this": {"trace_id": stored[0]},
    }
    request = pb.SearchTracesRequest(limit=5, **kinds[how])
    for milliseconds in (20, 40, 50, 51, 55, 60) * 5:
        stream = server.traces.SearchTraces(request, timeout=milliseconds / 1000)
        found = 0
        with suppress(grpc.aio.AioRpcError):
            async for response in stream:
                found += len(response.hits)
        assert await stream.code() is grpc.StatusCode.DEADLINE_EXCEEDED or found


@pytest.mark.usefixtures("stored")
async def test_a_pass_without_hits_is_an_answer(server: RunningServer) -> None:
    [response] = await in_time(server, 0.5, limit=100, min_similarity=0.99)
    assert (response.summary.stop_reason, response.summary.exact) == (pb.STOP_REASON_SCAN_BUDGET, False)
    assert (response.summary.hit_count, response.resume_token) == (0, "")


@pytest.mark.parametrize("how", ["vector", "more like this", "with tags"])
async def test_a_database_that_does_not_answer_is_no_answer_without_hits(
    server: RunningServer, stored: list[str], database_url: str, how: str
) -> None:
    kinds: dict[str, dict[str, Any]] = {
        "vector": {},
        "more like this": {"embedding": None, "trace_id": stored[0]},
        "with tags": {"filter": TraceFilter(tags_any=["red"])},
    }
    async with held(database_url, f"LOCK TABLE {'tags' if how == 'with tags' else 'traces'}"):
        await refused_in_time(server, 0.5, **kinds[how])


@pytest.mark.usefixtures("stored")
async def test_no_time_to_fetch_what_was_found_is_no_answer_without_hits(
    server: RunningServer, database_url: str
) -> None:
    # The pass over the index needs no tags, the hits do.
    async with held(database_url, "LOCK TABLE tags"):
        await refused_in_time(server, 0.5, limit=30, batch_size=1)


@pytest.mark.usefixtures("stored")
async def test_searches_that_run_out_of_time_keep_no_connection(server: RunningServer, database_url: str) -> None:
    for _ in range(6):
        # Or without any hit, where a busy machine had no time to fetch them.
        answers = await asyncio.gather(*(in_time(server, 0.7, limit=100) for _ in range(3)), return_exceptions=True)
        for answer in answers:
            assert isinstance(answer, AssertionError | list)
            assert isinstance(answer, AssertionError) or answer[-1].summary.stop_reason == pb.STOP_REASON_SCAN_BUDGET
    full_answers = await asyncio.gather(*(in_time(server, 10, limit=10) for _ in range(20)))
    assert all(len(hits_of(answer)) == 10 for answer in full_answers)
    # Nor does Postgres go on comparing for nobody.
    assert await running_queries(database_url) == 0


async def test_no_time_to_send_everything(server: RunningServer, database_url: str) -> None:
    created = (await server.traces.CreateTrace(a_contribution(context="x" * 5000, solution="x" * 5000))).created
    await administer(database_url, copies_of(created.id, 1000))
    assert len(hits_of(await in_time(server, 20, limit=1000))) == 1000
    responses = await in_time(server, 0.5, limit=1000, batch_size=1)
    summary = responses[-1].summary
    assert summary.stop_reason == pb.STOP_REASON_SCAN_BUDGET
    assert 0 < summary.hit_count == len(hits_of(responses)) < 1000
    assert summary.dropped_count == 0
    assert responses[-1].resume_token == ""
    rest = await in_time(server, 20, limit=1000, resume_token=responses[-2].resume_token)
    assert len({*ids_in(responses), *ids_in(rest)}) == len(ids_in(responses)) + len(ids_in(rest)) == 1000


@pytest.mark.usefixtures("stored")
async def test_a_deadline_that_has_passed_already_ends_the_call(server: RunningServer) -> None:
    call = server.traces.SearchTraces(pb.SearchTracesRequest(embedding=a_vector()), timeout=0.0001)
    outcome: list[int | grpc.StatusCode]
    try:
        outcome = [response.summary.stop_reason async for response in call]
    except grpc.aio.AioRpcError as failure:
        outcome = [failure.code()]
    assert outcome == [grpc.StatusCode.DEADLINE_EXCEEDED]
    assert len(hits_of(await in_time(server, 5, limit=10))) == 10
