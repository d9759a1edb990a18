"""Filtered searches of every selectivity, compared with brute force (ADR 0023)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from numpy.typing import NDArray

from commontrace.core.search import selectivity
from commontrace.core.search.result import SearchResult
from commontrace.core.search.selectivity import FilterSelectivityCache
from commontrace.core.search.service import SearchService
from commontrace.core.traces import filters
from commontrace.domain.deadline import NEVER
from commontrace.domain.namespaces.access import COMMONS_ONLY
from commontrace.domain.search.query import QueryVector, Search, StopReason
from commontrace.domain.traces.trace_filter import ResolvedFilter, TraceFilter
from commontrace.storage.database import Database
from commontrace.storage.search.binary_quantized import MOST_MATCHES
from tests.conftest import administer, query, url_of
from tests.integration.storage.search_corpora import MODEL, Corpus, clustered, ids_of, insert, order
from tests.integration.storage.storing import run
from tests.support.commons import IN_COMMONS
from tests.support.served_models import unchanging

SIZE = 12_000
QUERIES = range(0, SIZE, 1000)
TAGS = {name: uuid4() for name in ("most", "half", "tenth", "hundredth", "thousandth", "one", "none")}
SHARES = {"most": 0.9, "half": 0.5, "tenth": 0.1, "hundredth": 0.01, "thousandth": 0.001, "one": 1 / SIZE, "none": 0.0}
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
# Random ranks of the traces by kind, independent of the vectors and of each other.
RANKS = {name: np.random.default_rng(seed).permutation(SIZE) for seed, name in enumerate(("tag", "model", "status"))}


def passing(kind: str, share: str) -> NDArray[np.bool_]:
    """Mask of the traces whose rank is within the share; shape (SIZE,)."""
    return RANKS[kind] < SHARES[share] * SIZE


FILTERS: dict[str, tuple[TraceFilter, NDArray[np.bool_]]] = {
    **{
        f"tags_any {name}": (TraceFilter(tags_any=(str(TAGS[name]),)), passing("tag", name))
        for name in ("most", "half", "tenth", "hundredth", "thousandth", "one", "none")
    },
    "tags_all": (TraceFilter(tags_all=(str(TAGS["most"]), str(TAGS["tenth"]))), passing("tag", "tenth")),
    "tags_none of most": (TraceFilter(tags_none=(str(TAGS["most"]),)), ~passing("tag", "most")),
    "tags_none of few": (TraceFilter(tags_none=(str(TAGS["tenth"]),)), ~passing("tag", "tenth")),
    "status": (TraceFilter(statuses=("validated",)), passing("status", "half")),
    "agent model": (TraceFilter(agent_models=("rare",)), passing("model", "hundredth")),
    "metadata": (TraceFilter(metadata={"rare": True}), passing("model", "hundredth")),
    "created": (TraceFilter(created_before=FIRST + timedelta(seconds=100)), np.arange(SIZE) < 100),
    "both": (
        TraceFilter(statuses=("validated",), tags_any=(str(TAGS["tenth"]),)),
        passing("status", "half") & passing("tag", "tenth"),
    ),
}


@pytest.fixture(scope="module")
def corpus(postgres_url: str, template: str) -> Iterator[Corpus]:
    """Shared: tests only read it."""
    asyncio.run(administer(postgres_url, f"CREATE DATABASE filtered TEMPLATE {template}"))
    rare = passing("model", "hundredth")
    columns: dict[str, list[Any]] = {
        "agent_model": ["rare" if is_rare else "" for is_rare in rare],
        "metadata_json": ['{"rare": true}' if is_rare else "{}" for is_rare in rare],
        "status": ["validated" if validated else "pending" for validated in passing("status", "half")],
        "created_at": [FIRST + timedelta(seconds=number) for number in range(SIZE)],
    }
    tags = {TAGS[name]: np.flatnonzero(passing("tag", name)).tolist() for name in TAGS}
    yield asyncio.run(insert(url_of(postgres_url, "filtered"), clustered(SIZE), columns, tags))
    asyncio.run(administer(postgres_url, "DROP DATABASE filtered WITH (FORCE)"))


@pytest.fixture
async def populated(corpus: Corpus) -> AsyncIterator[Database]:
    database = Database(corpus.url)
    yield database
    await database.close()


@pytest.fixture
def searches(populated: Database) -> SearchService:
    return SearchService(populated, unchanging(MODEL))


async def found(searches: SearchService, vector: NDArray[np.float32], **fields: Any) -> SearchResult:
    search = Search(query=QueryVector(vector=vector, model_id=MODEL.model_id), **fields)
    return await searches.search(search, COMMONS_ONLY, deadline=NEVER)


def nearest(corpus: Corpus, vector: NDArray[np.float32], passes: NDArray[np.bool_], limit: int) -> set[UUID]:
    """By brute force."""
    similarities = np.where(passes, corpus.vectors @ vector, -2.0)
    return {corpus.ids[number] for number in np.argsort(-similarities)[: min(limit, int(passes.sum()))]}


@pytest.mark.parametrize("name", FILTERS)
async def test_complete_under_any_filter(corpus: Corpus, searches: SearchService, name: str) -> None:
    trace_filter, passes = FILTERS[name]
    matches = int(passes.sum())
    for limit in (10, 50):
        recalls = []
        for number in QUERIES:
            vector = corpus.query(number)
            answer = await found(searches, vector, limit=limit, trace_filter=trace_filter)
            wanted = nearest(corpus, vector, passes, limit)
            ids = set(ids_of(answer.neighbours))
            assert len(ids) == len(answer.neighbours) == min(limit, matches)
            assert ids <= {corpus.ids[match] for match in np.flatnonzero(passes)}
            assert answer.neighbours == sorted(answer.neighbours, key=order)
            assert answer.stop_reason is (StopReason.LIMIT if limit <= matches else StopReason.EXHAUSTED)
            assert answer.exact is (limit > matches)
            recalls.append(len(ids & wanted) / len(wanted) if wanted else 1.0)
        assert np.mean(recalls) >= 0.95, limit


async def test_only_filters_that_many_pass_use_the_vector_index(
    corpus: Corpus, populated: Database, searches: SearchService
) -> None:
    scans = "SELECT coalesce(sum(idx_scan), 0)::int FROM pg_stat_user_indexes WHERE indexrelname LIKE '%hnsw'"

    async def scanned() -> int:
        await query(corpus.url, "SELECT pg_stat_clear_snapshot()")
        [(count,)] = await query(corpus.url, scans)
        return int(count)

    async def index_scans_of(name: str) -> int:
        before = await scanned()
        trace_filter, _ = FILTERS[name]
        for number in QUERIES:
            await found(searches, corpus.query(number), limit=10, trace_filter=trace_filter)
        await populated.search(lambda search: run(search, "SELECT pg_stat_force_next_flush()"))
        return await scanned() - before

    assert int(passing("tag", "most").sum()) > MOST_MATCHES
    assert await index_scans_of("tags_any most") == len(QUERIES)
    most = await filters.resolve(FILTERS["tags_any most"][0], COMMONS_ONLY, populated)
    assert searches.selectivities.get(most) == pytest.approx(SHARES["most"], abs=0.15)
    assert await index_scans_of("tags_any half") == 0


async def test_a_least_similarity_is_proven_by_comparing_all_that_match(
    corpus: Corpus, searches: SearchService
) -> None:
    trace_filter, passes = FILTERS["tags_any hundredth"]
    vector = corpus.query(0)
    similarities = np.sort((corpus.vectors @ vector)[passes])[::-1]
    least = float(similarities[4] + similarities[5]) / 2
    answer = await found(searches, vector, limit=10, trace_filter=trace_filter, min_similarity=least)
    assert (len(answer.neighbours), answer.stop_reason, answer.exact) == (5, StopReason.MIN_SIMILARITY, True)


def test_measured_selectivities_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [TraceFilter(statuses=(str(number),)) for number in range(4)]
    resolved = [ResolvedFilter(trace_filter=one, namespaces=IN_COMMONS) for one in wanted]
    known = FilterSelectivityCache(capacity=3)
    for number, trace_filter in enumerate(resolved):
        assert known.get(trace_filter) is None
        known.remember(trace_filter, number / 4)
    assert [known.get(trace_filter) for trace_filter in resolved] == [None, 0.25, 0.5, 0.75]
    monkeypatch.setattr(selectivity, "_SECONDS", 0.0)
    known.remember(resolved[3], 0.9)
    assert known.get(resolved[3]) is None
