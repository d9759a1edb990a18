import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from sqlalchemy import text

from commontrace.storage import engines
from commontrace.v1 import trace_service_pb2 as pb
from tests.builders import hits_of
from tests.conftest import RunningServer, administer
from tests.contract.searched_traces import QUERY, a_vector, ids_in, store_vectors
from tests.integration.storing import unit_vector

# What an exact pass adds to a distance is nothing, and, in a database with this, takes 20 ms a trace.
_SLOW_EXACT_PASSES = (
    "CREATE FUNCTION slowly(float8, integer) RETURNS float8 VOLATILE LANGUAGE plpgsql"
    " AS 'BEGIN PERFORM pg_sleep(0.02); RETURN $1; END'",
    "CREATE OPERATOR + (LEFTARG = float8, RIGHTARG = integer, FUNCTION = slowly)",
)
COUNT = 40


async def in_time(server: RunningServer, seconds: float, **fields: Any) -> list[pb.SearchTracesResponse]:
    """Every message of a search stream that ends well before the deadline."""
    request = pb.SearchTracesRequest(embedding=a_vector(), **fields)
    return [response async for response in server.traces.SearchTraces(request, timeout=seconds)]


@asynccontextmanager
async def locked(database_url: str, table: str) -> AsyncIterator[None]:
    """Nobody reads the table while the block runs."""
    engine = engines.unpooled(database_url)
    async with engine.begin() as connection:
        await connection.execute(text(f"LOCK TABLE {table}"))
        yield
    await engine.dispose()


async def running_queries(database_url: str) -> int:
    engine = engines.unpooled(database_url)
    async with engine.connect() as connection:
        count = await connection.scalar(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND state = 'active' AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        )
    await engine.dispose()
    return int(count or 0)


@pytest.fixture
async def stored(server: RunningServer, database_url: str) -> list[str]:
    """Forty traces, which an exact pass takes 0.8 seconds to compare."""
    ids = await store_vectors(server.database, [unit_vector(number) for number in range(COUNT)])
    for statement in _SLOW_EXACT_PASSES:
        await administer(database_url, statement)
    return list(map(str, ids))


async def test_no_time_to_prove_that_nothing_is_missing(server: RunningServer, stored: list[str]) -> None:
    started = time.perf_counter()
    responses = await in_time(server, 0.6, limit=100)
    assert time.perf_counter() - started < 0.6
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
@pytest.mark.parametrize("how", ["exact", "continued", "too similar"])
async def test_no_time_for_anything_is_said_in_time(server: RunningServer, how: str) -> None:
    fields: dict[str, Any] = {"limit": 100, "exact": how == "exact"}
    if how == "continued":
        fields["limit"] = 5
        fields["resume_token"] = (await in_time(server, 5, limit=5))[-1].resume_token
    if how == "too similar":
        fields["min_similarity"] = 0.99
    [response] = await in_time(server, 0.5, **fields)
    assert (response.summary.stop_reason, response.summary.exact) == (pb.STOP_REASON_SCAN_BUDGET, False)
    assert (response.summary.hit_count, response.resume_token) == (0, "")


@pytest.mark.parametrize("how", ["vector", "more like this", "with tags"])
async def test_a_database_that_does_not_answer_costs_no_summary(
    server: RunningServer, stored: list[str], database_url: str, how: str
) -> None:
    request = pb.SearchTracesRequest(embedding=a_vector())
    if how == "more like this":
        request.trace_id = stored[0]
    if how == "with tags":
        request.filter.tags_any.append("red")
    async with locked(database_url, "tags" if how == "with tags" else "traces"):
        [response] = [response async for response in server.traces.SearchTraces(request, timeout=0.5)]
    assert response.summary.stop_reason == pb.STOP_REASON_SCAN_BUDGET
    assert response.summary.hit_count == 0


@pytest.mark.usefixtures("stored")
async def test_searches_that_run_out_of_time_keep_no_connection(server: RunningServer, database_url: str) -> None:
    for _ in range(3):
        answers = await asyncio.gather(*(in_time(server, 1.0, limit=100) for _ in range(8)))
        assert all(answer[-1].summary.stop_reason == pb.STOP_REASON_SCAN_BUDGET for answer in answers)
    answers = await asyncio.gather(*(in_time(server, 10, limit=10) for _ in range(20)))
    assert all(len(hits_of(answer)) == 10 for answer in answers)
    async with asyncio.timeout(5):
        while await running_queries(database_url):
            await asyncio.sleep(0.05)


async def test_no_time_to_send_everything(server: RunningServer) -> None:
    stored = await store_vectors(server.database, [QUERY] * 1000)
    responses = await in_time(server, 0.4, limit=1000, batch_size=1)
    summary = responses[-1].summary
    assert summary.stop_reason == pb.STOP_REASON_SCAN_BUDGET
    assert 0 < summary.hit_count == len(hits_of(responses)) < 1000
    assert summary.dropped_count == 0
    assert responses[-1].resume_token == ""
    rest = await in_time(server, 20, limit=1000, resume_token=responses[-2].resume_token)
    assert sorted(ids_in(responses) + ids_in(rest)) == sorted(map(str, stored))


@pytest.mark.usefixtures("stored")
async def test_a_deadline_that_has_passed_already_ends_the_call(server: RunningServer) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await in_time(server, 0.0001, limit=10)
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert len(hits_of(await in_time(server, 5, limit=10))) == 10
