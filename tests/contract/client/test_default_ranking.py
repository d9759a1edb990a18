"""The client's default ranking: the best for a text, by similarity for everything else (ADR 0059)."""

import asyncio
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import pytest

from commontrace.client import Client, SearchHits, connect, sync
from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import RunningServer
from tests.contract.search.searched_traces import a_vector, store_vectors, with_ties
from tests.contract.search.test_rankings import contribute_codes
from tests.support.builders import hits_of, search

CODE = "main.qx(41,7): error QX4137"
COUNT = 120
NAMED: tuple[tuple[str, pb.Ranking.ValueType], ...] = (
    ("cosine", pb.RANKING_COSINE),
    ("trust_weighted", pb.RANKING_TRUST_WEIGHTED),
    ("hybrid", pb.RANKING_HYBRID),
    ("best", pb.RANKING_BEST),
)


async def both_clients(server: RunningServer, query: Any, **options: Any) -> SearchHits:
    """Returns the hits of a search, explained, which the synchronous client has to find as well."""

    def blocking() -> SearchHits:
        with sync.connect(server.address) as client:
            return client.search(query, explain=True, **options)

    async with connect(server.address) as client:
        hits = await client.search(query, explain=True, **options)
    assert await asyncio.to_thread(blocking) == hits
    return hits


def ids_of(hits: Iterable[pb.SearchHit]) -> list[str]:
    return [hit.trace.id for hit in hits]


def is_by_similarity(hits: SearchHits) -> bool:
    return all(hit.explanation == pb.HitExplanation(score=hit.similarity) for hit in hits)


@pytest.mark.parametrize("exact", [False, True], ids=["index", "exact"])
async def test_a_text_is_ranked_best(server: RunningServer, *, exact: bool) -> None:
    await contribute_codes(server)
    best = hits_of(await search(server.traces, text=CODE, ranking=pb.RANKING_BEST, explain=True, exact=exact))
    hits = await both_clients(server, CODE, exact=exact)
    assert hits == best
    assert 1 in [hit.explanation.lexical_rank for hit in hits]
    assert ids_of(hits) != ids_of(await both_clients(server, CODE, exact=exact, ranking="cosine"))
    assert hits == await both_clients(server, CODE, exact=exact, limit=0)


async def test_a_trace_and_a_vector_go_by_similarity(server: RunningServer) -> None:
    codes = await contribute_codes(server)
    for query in (UUID(codes[7]), a_vector()):
        hits = await both_clients(server, query)
        assert len(hits) == 10
        assert is_by_similarity(hits)


async def test_more_hits_than_a_ranked_list_has_go_by_similarity(server: RunningServer) -> None:
    await store_vectors(server.database, with_ties(COUNT))
    hits = await both_clients(server, "title", limit=COUNT)
    assert len(hits) == COUNT
    assert is_by_similarity(hits)
    hits = await both_clients(server, "title", limit=101)
    assert (len(hits), hits.summary.stop_reason) == (101, pb.STOP_REASON_LIMIT)
    hits = await both_clients(server, "title", limit=100)
    assert (len(hits), hits.summary.stop_reason) == (100, pb.STOP_REASON_LIMIT)
    assert not is_by_similarity(hits)


async def test_the_default_returns_as_many_hits_as_similarity(server: RunningServer) -> None:
    await contribute_codes(server)
    similarities = sorted(hit.similarity for hit in await both_clients(server, CODE, ranking="cosine", limit=100))
    for least in (None, similarities[0], similarities[5], 1.0):
        for limit in (1, 5, 100):
            options = {"min_similarity": least, "limit": limit}
            hits, wanted = (
                await both_clients(server, CODE, **options),
                await both_clients(server, CODE, **options, ranking="cosine"),
            )
            assert len(hits) == len(wanted)
            assert hits.summary.stop_reason == wanted.summary.stop_reason


@pytest.mark.parametrize(("name", "ranking"), NAMED)
async def test_a_ranking_that_is_named_is_taken(
    server: RunningServer, name: Any, ranking: pb.Ranking.ValueType
) -> None:
    await contribute_codes(server)
    wanted = hits_of(await search(server.traces, text=CODE, ranking=ranking, explain=True))
    assert await both_clients(server, CODE, ranking=name) == wanted


async def test_a_stream_has_the_same_default(server: RunningServer) -> None:
    await contribute_codes(server)

    async def streamed(client: Client, **options: Any) -> list[pb.SearchHit]:
        async with client.search_stream(CODE, batch_size=2, **options) as stream:
            return [hit async for hit in stream]

    async with connect(server.address) as client:
        assert await streamed(client) == await streamed(client, ranking="best")
        assert await streamed(client) != await streamed(client, ranking="cosine")
