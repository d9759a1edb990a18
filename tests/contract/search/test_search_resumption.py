from typing import Any

import pytest
import pytest_asyncio

from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.conftest import RunningServer
from tests.contract.search.searched_traces import (
    QUERY,
    a_vector,
    every_stream,
    ids_in,
    similarities,
    store_vectors,
    with_ties,
)
from tests.integration.storage.storing import unit_vector
from tests.support.builders import hits_of, search

# Of the server that these tests share.
pytestmark = pytest.mark.asyncio(loop_scope="module")

COUNT = 120
VECTORS = with_ties(COUNT)
SIMILARITIES = similarities(VECTORS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stored(shared_server: RunningServer) -> list[str]:
    """Ids of the stored traces, one for each vector."""
    return list(map(str, await store_vectors(shared_server.database, VECTORS)))


def least_of(ranks: int) -> float:
    """A similarity between those of two traces, which so many traces exceed, or a few more because of ties."""
    best = sorted(set(SIMILARITIES), reverse=True)
    return (best[ranks - 1] + best[ranks]) / 2


def assert_everything_once(streams: list[list[pb.SearchTracesResponse]], wanted: list[str]) -> None:
    found = [trace_id for responses in streams for trace_id in ids_in(responses)]
    assert len(found) == len(set(found))
    assert sorted(found) == sorted(wanted)


@pytest.mark.parametrize("limit", [1000, COUNT, COUNT - 1, 50, 17, 10])
@pytest.mark.parametrize("how", [{}, {"ef_search": 1}, {"exact": True}], ids=["default", "hasty", "exact"])
async def test_streams_together_hold_everything_once(
    shared_server: RunningServer, stored: list[str], limit: int, how: dict[str, Any]
) -> None:
    streams = await every_stream(shared_server.traces, embedding=a_vector(), limit=limit, batch_size=7, **how)
    assert_everything_once(streams, stored)
    assert len(streams) == COUNT // limit + 1
    for responses in streams[:-1]:
        assert len(hits_of(responses)) == limit
        assert responses[-1].summary.stop_reason == pb.STOP_REASON_LIMIT
    assert streams[-1][-1].summary.stop_reason == pb.STOP_REASON_EXHAUSTED


async def test_what_an_approximate_stream_missed_comes_in_the_next(
    shared_server: RunningServer, stored: list[str]
) -> None:
    # From far away in a graph of few links, one candidate finds what is near by chance only.
    missed = 0
    for number in range(5):
        query = {"embedding": a_vector(unit_vector(2_000_000 + number)), "limit": 10}
        nearest = ids_in(await search(shared_server.traces, exact=True, **query))
        streams = await every_stream(shared_server.traces, ef_search=1, **query)
        missed += len(set(nearest) - set(ids_in(streams[0])))
        assert_everything_once(streams, stored)
        assert not streams[0][-1].summary.exact
        assert all(responses[-1].summary.exact for responses in streams[1:])
    assert missed > 0


@pytest.mark.parametrize("how", [{}, {"ef_search": 2}, {"exact": True}], ids=["default", "hasty", "exact"])
@pytest.mark.parametrize("limit", [60, 9, 5])
async def test_filters_and_the_least_similarity_hold_throughout(
    shared_server: RunningServer, stored: list[str], limit: int, how: dict[str, Any]
) -> None:
    least = least_of(70)
    wanted = [trace_id for number, trace_id in enumerate(stored) if number % 3 == 0 and SIMILARITIES[number] > least]
    assert 15 < len(wanted) < 35
    streams = await every_stream(
        shared_server.traces,
        embedding=a_vector(),
        limit=limit,
        filter=TraceFilter(agent_models=["m"]),
        min_similarity=least,
        **how,
    )
    assert_everything_once(streams, wanted)
    assert streams[-1][-1].summary.stop_reason == pb.STOP_REASON_MIN_SIMILARITY
    assert all(len(hits_of(responses)) == limit for responses in streams[:-1])


@pytest.mark.parametrize(
    "how",
    [{}, {"ef_search": 1}, {"exact": True}, {"filter": TraceFilter(agent_models=["", "m"])}],
    ids=["default", "hasty", "exact", "filtered"],
)
@pytest.mark.parametrize("limit", [40, 1000])
async def test_broken_streams_continue_behind_the_last_message(
    shared_server: RunningServer, stored: list[str], limit: int, how: dict[str, Any]
) -> None:
    found: list[str] = []
    token, streams = "", 0
    while streams == 0 or token:
        request = pb.SearchTracesRequest(embedding=a_vector(), limit=limit, batch_size=3, resume_token=token, **how)
        stream = shared_server.traces.SearchTraces(request, timeout=20)
        messages = 0
        async for response in stream:
            found += [hit.trace.id for hit in response.hits]
            token = response.resume_token
            messages += 1
            if messages == 1 + streams % 5:
                break
        stream.cancel()
        streams += 1
        assert streams < 100
    assert len(found) == len(set(found))
    assert sorted(found) == sorted(stored)
    assert streams > COUNT / (3 * 5)


async def test_limit_and_batch_size_may_differ_from_call_to_call(
    shared_server: RunningServer, stored: list[str]
) -> None:
    found, token = [], ""
    for limit, batch_size in ((5, 2), (50, 50), (1, 1000), (30, 0), (1000, 16)):
        responses = await search(
            shared_server.traces, embedding=a_vector(), limit=limit, batch_size=batch_size, resume_token=token
        )
        found += ids_in(responses)
        token = responses[-1].resume_token
    assert token == ""
    assert sorted(found) == sorted(stored)


async def test_more_like_this_continues(shared_server: RunningServer, stored: list[str]) -> None:
    streams = await every_stream(shared_server.traces, trace_id=stored[5], limit=25)
    assert_everything_once(streams, [trace_id for trace_id in stored if trace_id != stored[5]])


@pytest.mark.asyncio(loop_scope="function")
async def test_a_text_continues_though_its_hits_are_all_alike(server: RunningServer) -> None:
    stored = list(map(str, await store_vectors(server.database, [QUERY] * 60)))
    streams = await every_stream(server.traces, text="whatever", limit=7)
    assert_everything_once(streams, stored)
    exact = await every_stream(server.traces, text="whatever", limit=7, exact=True)
    assert [trace_id for responses in exact for trace_id in ids_in(responses)] == sorted(stored)


@pytest.mark.usefixtures("stored")
async def test_every_message_but_the_last_has_a_token(shared_server: RunningServer) -> None:
    short = await search(shared_server.traces, embedding=a_vector(), limit=1000, batch_size=50)
    assert [bool(response.resume_token) for response in short] == [True, True, False]
    limited = await search(shared_server.traces, embedding=a_vector(), limit=30, batch_size=10)
    assert len({response.resume_token for response in limited} - {""}) == 3
    assert all(len(response.resume_token) <= 1000 for response in short + limited)


@pytest.mark.asyncio(loop_scope="function")
async def test_nothing_is_sent_twice_though_traces_come_and_go(server: RunningServer) -> None:
    stored = list(map(str, await store_vectors(server.database, VECTORS)))
    first = await search(server.traces, embedding=a_vector(), limit=30, exact=True)
    await store_vectors(server.database, [unit_vector(3_000_000 + number) for number in range(30)])
    request = pb.SearchTracesRequest(embedding=a_vector(), limit=1000, exact=True)
    request.resume_token = first[-1].resume_token
    rest = [response async for response in server.traces.SearchTraces(request, timeout=20)]
    found = [*ids_in(first), *ids_in(rest)]
    assert len(found) == len(set(found))
    assert set(stored) <= set(found)
