"""Plans and results of the search statements in databases of 12 to 10,000 traces (ADR 0022, ADR 0023)."""

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from sqlalchemy import Select

from commontrace.core.search.result import SearchResult
from commontrace.core.search.service import SearchService
from commontrace.domain.deadline import NEVER
from commontrace.domain.namespaces.access import COMMONS_ONLY
from commontrace.domain.search.neighbours import Neighbour, NeighbourQuery
from commontrace.domain.search.query import Query, QueryVector, Search, StopReason
from commontrace.domain.search.rankings import Ranking
from commontrace.domain.traces.trace_filter import ResolvedFilter, TraceFilter
from commontrace.embeddings.embedder import Vector
from commontrace.serving.monitoring.recall_probe import LEAST_TRACES, RecallProbe
from commontrace.storage import engines
from commontrace.storage.connections import SettingRefused
from commontrace.storage.database import Database
from commontrace.storage.driver_statement import DriverStatement
from commontrace.storage.search import binary_quantized, filter_sql
from commontrace.storage.search.binary_quantized import BinaryQuantizedSearch
from commontrace.storage.search.neighbours import (
    ApproximateSearch,
    approximate_parameters,
    approximate_statement,
    candidate_count,
    hits_statement,
)
from commontrace.storage.unit_of_work import Reading
from tests.conftest import administer, url_of
from tests.integration.storage.search_corpora import MODEL, RARE, Corpus, clustered, ids_of, insert, order, recall, unit
from tests.integration.storage.storing import run
from tests.support.commons import EVERY_TRACE, IN_COMMONS
from tests.support.served_models import unchanging

SIZES = (12, 1000, 5000, 10_000)
LIMITS = (1, 10, 100, 1000)
_LARGEST_LIMIT = 16

NAME: dict[str, Any] = {"model_id": MODEL.model_id, "model_version": MODEL.model_version}

_A_TIME = datetime(2026, 1, 1, tzinfo=UTC)
_FEW_NAMES = 41
_TAGS = {name: uuid4() for name in ("red", "blue", *(f"tag-{number}" for number in range(2, _FEW_NAMES)))}
FILTERS = {
    "tags_all": TraceFilter(tags_all=("red", "blue")),
    "tags_any": TraceFilter(tags_any=("red", "blue")),
    "tags_none": TraceFilter(tags_none=("red",)),
    "statuses": TraceFilter(statuses=("validated",)),
    "agent_models": TraceFilter(agent_models=("rare",)),
    "contributor_ids": TraceFilter(contributor_ids=(uuid4(),)),
    "created_from": TraceFilter(created_from=_A_TIME),
    "created_before": TraceFilter(created_before=_A_TIME),
    "metadata": TraceFilter(metadata={"key": "value"}),
    "current_only": TraceFilter(),
    "nothing": TraceFilter(include_superseded=True),
    "everything": TraceFilter(
        tags_all=("red",),
        tags_any=("blue",),
        tags_none=("red", "blue"),
        statuses=("pending", "validated"),
        agent_models=("", "rare"),
        contributor_ids=(uuid4(), uuid4()),
        created_from=_A_TIME,
        created_before=_A_TIME,
        metadata={"key": ["value"]},
    ),
}


def three_tags_each(size: int) -> dict[UUID, list[int]]:
    """The numbers of the traces that have each tag."""
    return {
        tag_id: [number for number in range(size) if tag in {(number * step + step) % _FEW_NAMES for step in (1, 5, 7)}]
        for tag, tag_id in enumerate(_TAGS.values())
    }


@pytest.fixture(scope="module")
def corpora(postgres_url: str, template: str) -> Iterator[Callable[[int], Corpus]]:
    """Makes each size once, and only those that are asked for: another process may run the tests of the others."""
    with ExitStack() as made:

        @cache
        def corpus_of(size: int) -> Corpus:
            name = f"corpus_{size}"

            def make() -> Corpus:
                asyncio.run(administer(postgres_url, f"CREATE DATABASE {name} TEMPLATE {template}"))
                return asyncio.run(insert(url_of(postgres_url, name), clustered(size), tags=three_tags_each(size)))

            made.callback(lambda: asyncio.run(administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")))
            # Some who ask are in an event loop.
            with ThreadPoolExecutor(max_workers=1) as thread:
                return thread.submit(make).result()

        yield corpus_of


@pytest.fixture(params=SIZES, scope="module")
def corpus(request: pytest.FixtureRequest, corpora: Callable[[int], Corpus]) -> Corpus:
    """Shared: tests only read it. Of the module, so that the tests of a size run one after the other."""
    return corpora(request.param)


@pytest.fixture
async def populated(corpus: Corpus) -> AsyncIterator[Database]:
    database = Database(corpus.url)
    yield database
    await database.close()


async def found(query: Query | Vector, limit: int, database: Database, **fields: Any) -> SearchResult:
    if isinstance(query, np.ndarray):
        query = QueryVector(vector=query, model_id=MODEL.model_id)
    search = Search(query=query, limit=limit, **fields)
    return await SearchService(database, unchanging(MODEL)).search(search, COMMONS_ONLY, deadline=NEVER)


def resolved(trace_filter: TraceFilter) -> ResolvedFilter:
    return ResolvedFilter(trace_filter=trace_filter, namespaces=IN_COMMONS, tag_ids=_TAGS)


async def approximate(search: ApproximateSearch, query: Vector, *, limit: int, ef_search: int = 64) -> list[Neighbour]:
    return await search.neighbours(
        NeighbourQuery(vector=query, **NAME, limit=limit, trace_filter=EVERY_TRACE), ef_search=ef_search
    )


async def compare_all(reading: Reading, query: Vector, limit: int) -> list[Neighbour]:
    return await reading.exact_search.neighbours(
        NeighbourQuery(vector=query, **NAME, limit=limit, trace_filter=EVERY_TRACE)
    )


def statement_of_ids(kinds: filter_sql.Kinds) -> Select[Any]:
    return approximate_statement(kinds, dimensions=MODEL.dimensions)


def statement_of_hits(kinds: filter_sql.Kinds, limit: int, *, full: bool = True) -> Select[Any]:
    candidates = candidate_count(limit, ef_search=64)
    return hits_statement(kinds, dimensions=MODEL.dimensions, limit=limit, candidates=candidates, full=full)


async def explain(
    search: ApproximateSearch | BinaryQuantizedSearch, statement: Select[Any], nearest: NeighbourQuery
) -> str:
    prepared = DriverStatement(statement)
    given = prepared.arguments(approximate_parameters(nearest, ef_search=64))
    return "\n".join(row[0] for row in await search._connection.fetch(f"EXPLAIN (COSTS OFF) {prepared.sql}", *given))


def query_of(corpus: Corpus, trace_filter: TraceFilter, limit: int) -> NeighbourQuery:
    return NeighbourQuery(vector=corpus.query(0), **NAME, limit=limit, trace_filter=resolved(trace_filter))


async def test_the_planner_stays_on_the_index(corpus: Corpus, populated: Database) -> None:
    kinds = [filter_sql.kinds_of(resolved(trace_filter)) for trace_filter in FILTERS.values()]
    assert len(set(kinds)) == len(FILTERS)
    for statistics in ("none", "fresh"):
        if statistics == "fresh":
            await administer(corpus.url, "ANALYZE")
        for name, trace_filter in FILTERS.items():
            kind = filter_sql.kinds_of(resolved(trace_filter))
            for limit in LIMITS:
                nearest = query_of(corpus, trace_filter, limit)
                ids = await populated.search(partial(explain, statement=statement_of_ids(kind), nearest=nearest))
                rows = await populated.search(
                    partial(explain, statement=statement_of_hits(kind, limit), nearest=nearest)
                )
                for plan in (ids, rows):
                    by_index = "Index Scan using ix_traces_embedding_hnsw on traces"
                    assert by_index in plan, (statistics, name, limit, plan)
                    assert "Seq Scan" not in plan
                assert "Sort" not in ids
                assert "Index Scan using pk_traces on traces" in rows
                # Of the candidates, by their full vectors.
                assert re.findall(r"Sort Key: .*", rows) == ["Sort Key: candidate.distance, candidate.id"]
                assert "ix_tags_name" not in rows


@pytest.fixture
async def growing(corpus: Corpus, postgres_url: str) -> AsyncIterator[str]:
    """A copy of the corpus, for a test that adds names."""
    size = len(corpus.ids)
    await administer(postgres_url, f"CREATE DATABASE growing_{size} TEMPLATE corpus_{size}")
    yield url_of(postgres_url, f"growing_{size}")
    await administer(postgres_url, f"DROP DATABASE growing_{size} WITH (FORCE)")


async def add_names(url: str) -> None:
    await administer(
        url,
        "INSERT INTO tags (id, name) SELECT gen_random_uuid(), 'name-' || n"
        " FROM generate_series((SELECT count(*) FROM tags) + 1, 5000) n",
    )


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


async def carried_out(
    search: ApproximateSearch | BinaryQuantizedSearch, statement: DriverStatement, given: list[Any]
) -> Any:
    """Returns the plan as Postgres carried it out."""
    explained = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.sql}"
    return json.loads(await search._connection.fetchval(explained, *given))[0]["Plan"]


async def plans_of_searches(url: str, corpus: Corpus) -> dict[tuple[object, ...], dict[str, Any]]:
    """Returns the plan of every statement about traces that runs on search connections."""
    plans: dict[tuple[object, ...], dict[str, Any]] = {}
    database = Database(url)
    for name, trace_filter in FILTERS.items():
        for limit, full in ((1, True), (10, True), (10, False), (_LARGEST_LIMIT, True)):
            nearest = query_of(corpus, trace_filter, limit)
            kinds = filter_sql.kinds_of(nearest.trace_filter)
            given = approximate_parameters(nearest, ef_search=64)
            statements = {
                "hits": statement_of_hits(kinds, limit, full=full),
                "signs": binary_quantized.reranked_statement(kinds, limit=limit, candidates=200, full=full),
            }
            if limit == _LARGEST_LIMIT:
                # The same for every limit, and for texts or none.
                statements |= {
                    "ids": statement_of_ids(kinds),
                    "ids by signs": binary_quantized.reranked_statement(kinds, limit=limit, candidates=200, full=None),
                }
            prepared = {what: DriverStatement(statement) for what, statement in statements.items()}
            if limit == _LARGEST_LIMIT:
                prepared |= {"many": binary_quantized._passes_many(kinds), "sample": binary_quantized._sample(kinds)}
            for what, statement in prepared.items():
                arguments = statement.arguments(given)
                plans[what, name, limit, full] = await database.search(
                    partial(carried_out, statement=statement, given=arguments), trace_filter=nearest.trace_filter
                )
    await database.close()
    return plans


async def test_searches_cost_the_same_however_many_names_there_are(corpus: Corpus, growing: str) -> None:
    # Nothing but the names is to change from here on.
    await administer(growing, "VACUUM ANALYZE")
    few = await plans_of_searches(growing, corpus)
    await add_names(growing)
    for statistics in ("stale", "fresh"):
        if statistics == "fresh":
            await administer(growing, "VACUUM ANALYZE")
        for key, plan in (await plans_of_searches(growing, corpus)).items():
            of_tags = [node for node in nodes(plan) if node.get("Relation Name") == "tags"]
            for node in of_tags:
                condition = node.get("Index Cond") or node.get("Recheck Cond") or node["Node Type"]
                assert condition.startswith("(id = ANY "), (statistics, key, condition)
            for node in nodes(plan):
                assert node.get("Index Name") != "ix_tags_name", (statistics, key)
                assert "name" not in " ".join(node.get("Sort Key", ())), (statistics, key)
            looked_up = sum(node["Actual Loops"] * math.ceil(node["Actual Rows"]) for node in of_tags)
            if key[1] == "nothing":
                assert (looked_up > 0) is (key[0] in ("hits", "signs")), (statistics, key)
            # The index of ids has grown by a level, and the names lie on more pages.
            read_for_names = sum(node["Shared Hit Blocks"] for node in of_tags)
            assert read_for_names <= 4 * looked_up + 16, (statistics, key, read_for_names)
            # What else is read varies by a third with statistics that Postgres renews by itself; samples are random.
            before, after = few[key]["Shared Hit Blocks"], plan["Shared Hit Blocks"]
            assert after <= 1.5 * before + 4 * looked_up + 16 or key[0] == "sample", (statistics, key, before, after)


async def test_no_reading_reads_names_that_its_traces_do_not_have(corpus: Corpus, growing: str) -> None:
    few = await names_read(growing, corpus)
    await add_names(growing)
    for statistics in ("none", "fresh"):
        if statistics == "fresh":
            await administer(growing, "ANALYZE")
        for what, count in (await names_read(growing, corpus)).items():
            assert count <= few[what], (statistics, what, count, few[what])


async def names_read(url: str, corpus: Corpus) -> dict[str, int]:
    """Returns how many rows and entries of indexes of names each kind of reading reads."""
    database = Database(url, pool_size=1)
    ids = corpus.ids[:100]
    red = str(_TAGS["red"])
    tagged = TraceFilter(tags_any=(red,))
    resolved_tagged = ResolvedFilter(trace_filter=tagged, namespaces=IN_COMMONS, tag_ids={red: _TAGS["red"]})
    readings: dict[str, Callable[[], Awaitable[Any]]] = {
        "search": partial(found, corpus.query(0), 10, database, fetches_full=True),
        "search, exact": partial(found, corpus.query(0), 10, database, exact=True, fetches_full=True),
        "search, filtered": partial(found, corpus.query(0), 10, database, trace_filter=tagged, fetches_full=True),
        "search, many": partial(found, corpus.query(0), 100, database),
        "search like a trace": partial(found, corpus.ids[0], 10, database, fetches_full=False),
        "tag ids": partial(database.get_tag_ids, [red, "unknown"], IN_COMMONS),
        "search, ranked": partial(
            found, corpus.query(0), 10, database, ranking=Ranking.TRUST_WEIGHTED, fetches_full=True
        ),
        "words": partial(
            database.read,
            lambda reading: reading.keyword_search.find_matches(
                "context", NeighbourQuery(vector=corpus.query(0), **NAME, limit=10, trace_filter=EVERY_TRACE)
            ),
        ),
        "get": partial(database.read, lambda reading: reading.traces.get(ids[0], IN_COMMONS)),
        "batch get": partial(database.read, lambda reading: reading.traces.get_many(ids, EVERY_TRACE, full=True)),
        "rows of hits": partial(
            database.read, lambda reading: reading.traces.get_many(ids, resolved_tagged, full=True)
        ),
        "list": partial(
            database.read,
            lambda reading: reading.trace_listing.list_newest_first(
                resolved_tagged, owner_id=None, after=None, size=50
            ),
        ),
        "export": partial(
            database.read,
            lambda reading: reading.trace_export.list_oldest_first(
                resolved_tagged, after=None, size=100, text_bytes=10**6, model=None
            ),
        ),
    }
    counts = {}
    for what, read in readings.items():
        before = await _names_read_ever(database)
        await read()
        counts[what] = await _names_read_ever(database) - before
    await database.close()
    return counts


async def _names_read_ever(database: Database) -> int:
    flush = "SELECT pg_stat_force_next_flush()"
    await database.search(partial(run, sql=flush))
    await database.read(partial(run, sql=flush))
    return int(
        await database.read(
            partial(
                run,
                sql="SELECT (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'tags')"
                " + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'tags')",
            )
        )
    )


async def test_the_generic_plan_stays_on_the_index_too(corpus: Corpus, populated: Database) -> None:
    # After five executions of a prepared statement, Postgres may change to a generic plan.
    scans = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'ix_traces_embedding_hnsw'"

    async def search_often(search: ApproximateSearch) -> None:
        for number in range(12):
            await approximate(search, corpus.query(number), limit=10 * number + 1)
        await run(search, "SELECT pg_stat_force_next_flush()")

    before = await populated.read(lambda reading: run(reading, scans))
    await populated.search(search_often)
    assert await populated.read(lambda reading: run(reading, scans)) == before + 12


async def test_probes_measure_the_recall_of_the_index(corpus: Corpus, populated: Database) -> None:
    probe = RecallProbe(populated, lambda: MODEL, period_seconds=0)
    for _ in range(5):
        await probe.probe()
    outcome = "measured" if len(corpus.ids) >= LEAST_TRACES else "too_few"
    assert {name: count for name, count in probe.outcomes.items() if count} == {outcome: 5}
    assert (probe.recall is None) if outcome == "too_few" else (probe.recall or 0.0) > 0.9


async def test_candidates_of_binary_quantization_are_read_by_key(corpus: Corpus, populated: Database) -> None:
    for statistics in ("none", "fresh"):
        if statistics == "fresh":
            await administer(corpus.url, "ANALYZE")
        for name, trace_filter in FILTERS.items():
            nearest = query_of(corpus, trace_filter, 10)
            statement = binary_quantized.reranked_statement(
                filter_sql.kinds_of(nearest.trace_filter), limit=10, candidates=200, full=True
            )
            plan = await populated.search(
                partial(explain, statement=statement, nearest=nearest), trace_filter=nearest.trace_filter
            )
            # The last of all looks up what a trace is a copy of: no row has any.
            *scans, _ = re.findall(r"(\w+ Scan.*) on traces(?: |$)", plan, flags=re.MULTILINE)
            assert re.search(r"Index Scan using .* on traces traces_1_1\n.*= traces.promoted_from_id\)", plan)
            if name in ("metadata", "everything"):
                scans = scans[-2:]
            assert scans == ["Index Scan using pk_traces"] * 2, (statistics, name, plan)


@pytest.mark.parametrize("limit", [*LIMITS, 50])
async def test_never_short_and_in_order(corpus: Corpus, populated: Database, limit: int) -> None:
    count = min(limit, len(corpus.ids))
    for number in range(5):
        answer = await found(corpus.query(number), limit, populated)
        assert len({*ids_of(answer.neighbours)}) == len(answer.neighbours) == count
        assert answer.neighbours == sorted(answer.neighbours, key=order)
        assert answer.exact or count == limit
        assert answer.stop_reason is (StopReason.EXHAUSTED if count < limit else StopReason.LIMIT)


@pytest.mark.parametrize("limit", LIMITS)
async def test_never_short_where_few_pass_the_filter(corpus: Corpus, populated: Database, limit: int) -> None:
    passing = corpus.ids[::RARE]
    rare = TraceFilter(agent_models=("rare",))
    for number in range(3):
        answer = await found(corpus.query(number), limit, populated, trace_filter=rare)
        assert len({*ids_of(answer.neighbours)} & {*passing}) == len(answer.neighbours) == min(limit, len(passing))
        assert answer.neighbours == sorted(answer.neighbours, key=order)
        assert answer.exact or limit <= len(passing)


@pytest.mark.parametrize("limit", [1, 10, 1000])
async def test_exact_answers_agree_with_numpy(corpus: Corpus, populated: Database, limit: int) -> None:
    query = corpus.query(1)
    exact = await populated.read(partial(compare_all, query=query, limit=limit))
    answer = await found(query, limit, populated)
    assert not answer.exact or answer.neighbours == exact

    every = corpus.nearest(query, len(corpus.ids))
    assert [neighbour.distance for neighbour in exact] == pytest.approx(
        [neighbour.distance for neighbour in every[:limit]], abs=1e-6
    )
    # Postgres computes in single precision: neighbours whose distances are that close may change places.
    distances = dict(every)
    assert [neighbour.distance for neighbour in exact] == pytest.approx(
        [distances[trace_id] for trace_id in ids_of(exact)], abs=1e-6
    )
    assert exact == sorted(exact, key=order)


async def test_a_trace_is_not_found_by_its_own_id(corpus: Corpus, populated: Database) -> None:
    for limit in (1, 10, 1000):
        answer = await found(corpus.ids[3], limit, populated)
        assert len(answer.neighbours) == min(limit, len(corpus.ids) - 1)
        assert corpus.ids[3] not in ids_of(answer.neighbours)


async def test_the_index_finds_nine_of_ten(corpora: Callable[[int], Corpus]) -> None:
    corpus = corpora(10_000)
    database = Database(corpus.url)
    recalls = []
    for number in range(0, 10_000, 200):
        answer = await found(corpus.query(number), 10, database)
        assert not answer.exact
        recalls.append(recall(answer.neighbours, corpus.nearest(corpus.query(number), 10)))
    await database.close()
    assert np.mean(recalls) >= 0.9


async def test_ef_search_is_in_force_for_its_statement_only(corpora: Callable[[int], Corpus]) -> None:
    corpus = corpora(5000)
    # Far from every subject, where the index has a low recall.
    queries = [unit(np.random.default_rng(number).standard_normal(384)) for number in range(20)]

    async def mean_recall(search: ApproximateSearch, ef_search: int) -> float:
        recalls = []
        for query in queries:
            assert await run(search, "SHOW hnsw.ef_search") == "40"
            neighbours = await approximate(search, query, limit=10, ef_search=ef_search)
            recalls.append(recall(neighbours, corpus.nearest(query, 10)))
        return float(np.mean(recalls))

    database = Database(corpus.url, pool_size=1)
    few, many = [await database.search(partial(mean_recall, ef_search=ef_search)) for ef_search in (10, 1000)]
    assert await database.search(lambda reading: run(reading, "SHOW hnsw.ef_search")) == "40"
    await database.close()
    assert few + 0.1 < many


async def test_search_connections_have_their_settings(database: Database) -> None:
    setting = "SELECT setting FROM pg_settings WHERE name = '{}'"
    for name, value in (engines.SESSION_SETTINGS | engines.SEARCH_SETTINGS).items():
        assert await database.search(partial(run, sql=setting.format(name))) == value
    for name, value in engines.SESSION_SETTINGS.items():
        assert await database.read(partial(run, sql=setting.format(name))) == value


@pytest.mark.parametrize(
    "settings",
    [
        {"hnsw.iterative_scam": "relaxed_order"},
        {"hnsw.iterative_scan": "relaxed"},
        {"hnsw.ef_search": "1001"},
        {"application_name": "x" * 64},
    ],
)
async def test_a_setting_that_postgres_does_not_take_is_an_error(database_url: str, settings: dict[str, str]) -> None:
    engine = engines.pooled(database_url, settings, size=1, timeout=1)
    with pytest.raises(SettingRefused, match=next(iter(settings))):
        await engine.connect()
    await engine.dispose()


async def test_deleted_traces_and_other_models_never_appear(database: Database, database_url: str) -> None:
    corpus = await insert(database_url, clustered(600))
    change = "UPDATE traces SET {} WHERE id = ANY(:ids) RETURNING id"
    delete, move = change.format("deleted_at = now()"), change.format("embedding_model_id = 'other'")
    await database.read(partial(run, sql=delete, ids=corpus.ids[:400]))
    await database.read(partial(run, sql=move, ids=corpus.ids[400:570]))
    for limit in (1, 10, 30, 31):
        for number in range(0, 600, 100):
            answer = await found(corpus.query(number), limit, database)
            assert len(answer.neighbours) == min(limit, 30)
            assert {*ids_of(answer.neighbours)} <= {*corpus.ids[570:]}


async def test_equal_vectors_come_in_the_order_of_their_ids(database: Database, database_url: str) -> None:
    vectors = clustered(100)
    vectors[20:70] = vectors[20]
    corpus = await insert(database_url, vectors)
    equal = sorted(corpus.ids[20:70])
    for limit in (1, 20, 50):
        exact = await database.read(partial(compare_all, query=vectors[20], limit=limit))
        assert ids_of(exact) == equal[:limit]
    answer = await found(vectors[20], 1000, database)
    assert answer.exact
    assert ids_of(answer.neighbours)[:50] == equal
