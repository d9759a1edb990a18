"""Rows that a keyword search reads of 1,000 and of 15,000 traces: those that pass a filter, or up to the budget.

ADR 0040.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from commontrace.domain.search.neighbours import NeighbourQuery
from commontrace.domain.traces.trace_filter import ResolvedFilter, TraceFilter
from commontrace.storage.database import Database
from commontrace.storage.driver_statement import DriverStatement
from commontrace.storage.search import filter_sql
from commontrace.storage.search.keyword import BUDGET, COMMON, KeywordMatch, matches_parameters, matches_statement
from commontrace.storage.unit_of_work import Reading
from tests.conftest import administer, query, url_of
from tests.support.commons import IN_COMMONS

SIZES = (1_000, 15_000)
FEW, LIMIT = 30, 51
WORDS = 1_000
# Traces by those that the last ANALYZE has counted.
_GROWN = 1.1

ADA, BOB, TAG, UNUSED = uuid4(), uuid4(), uuid4(), uuid4()
_VECTOR = np.full(384, 384**-0.5, dtype=np.float32)

# A trace holds `everywhere`, each tenth of a thousand words, and a code of its own. Filters pass the first thirty.
FILL = f"""
INSERT INTO users (id, email) VALUES ('{ADA}', 'ada@example.org'), ('{BOB}', 'bob@example.org');
INSERT INTO tags (id, name) VALUES ('{TAG}', 'few'), ('{UNUSED}', 'unused');
DROP INDEX ix_traces_embedding_hnsw;
INSERT INTO traces (id, title, context_text, solution_text, embedding, embedding_model_id, embedding_model_version,
    contributor_id, agent_model, status, metadata_json)
SELECT gen_random_uuid(), 'Everywhere E0' || 1000000 + n,
    (SELECT string_agg('word' || k, ' ') FROM generate_series(n % 10, {WORDS} - 1, 10) k), 'solution',
    array_fill(power(384, -0.5)::real, ARRAY[384])::vector, 'model', '1',
    CASE WHEN n < {FEW} THEN '{BOB}'::uuid ELSE '{ADA}' END, CASE WHEN n < {FEW} THEN 'few' ELSE '' END,
    CASE WHEN n % 3 = 0 THEN 'validated' ELSE 'pending' END,
    CASE WHEN n < {FEW} THEN '{{{{"few": true}}}}'::jsonb ELSE '{{{{}}}}' END
FROM generate_series({{first}}, {{last}}) n;
INSERT INTO trace_tags SELECT id, '{TAG}' FROM traces WHERE agent_model = 'few';
"""  # noqa: S608 - our own

NARROW = {
    "agent model": (TraceFilter(agent_models=("few",)), FEW),
    "contributor": (TraceFilter(contributor_ids=(BOB,)), FEW),
    "contributor of none": (TraceFilter(contributor_ids=(uuid4(),)), 0),
    "tag": (TraceFilter(tags_all=("few",)), FEW),
    "tag of none": (TraceFilter(tags_any=("unused",)), 0),
    "metadata": (TraceFilter(metadata={"few": True}), FEW),
    "metadata of none": (TraceFilter(metadata={"many": True}), 0),
}
WIDE = {
    "status": TraceFilter(statuses=("validated",)),
    "other tags": TraceFilter(tags_none=("few",)),
    "other contributor": TraceFilter(contributor_ids=(ADA,)),
}
NO_FILTER = {"all": TraceFilter(), "replaced ones, too": TraceFilter(include_superseded=True)}
QUESTIONS = {
    "forty common words": " ".join(f"word{number}" for number in range(40)),
    "a word that all hold": "everywhere",
    "8,000 characters": " ".join(f"word{number}" for number in range(WORDS))[:8_000],
    "codes": "E01000007 E01000011 E09999999",
    "a code among common words": "everywhere word1 E01000007 word2",
}


@pytest.fixture(scope="module", params=SIZES)
def corpus_url(request: pytest.FixtureRequest, postgres_url: str, template: str) -> Iterator[str]:
    """A database of so many traces, of which ANALYZE has not counted the last tenth."""
    size = request.param
    asyncio.run(administer(postgres_url, f"CREATE DATABASE words_{size} TEMPLATE {template}"))
    url = url_of(postgres_url, f"words_{size}")
    counted = size - size // 11
    statements = FILL.format(first=0, last=counted - 1).split(";\n")[:-1]
    more = FILL.format(first=counted, last=size - 1).split(";\n")[3]
    alone = [f"ALTER TABLE {table} SET (autovacuum_enabled = off)" for table in ("traces", "trace_words")]
    for statement in (*alone, *statements, "ANALYZE", more):
        asyncio.run(administer(url, statement))
    yield url
    asyncio.run(administer(postgres_url, f"DROP DATABASE words_{size} WITH (FORCE)"))


@pytest.fixture
async def database(corpus_url: str) -> Any:
    database = Database(corpus_url, pool_size=1)
    yield database
    await database.close()


def query_of(trace_filter: TraceFilter) -> NeighbourQuery:
    resolved = ResolvedFilter(trace_filter=trace_filter, namespaces=IN_COMMONS, tag_ids={"few": TAG, "unused": UNUSED})
    return NeighbourQuery(vector=_VECTOR, model_id="model", model_version="1", limit=LIMIT, trace_filter=resolved)


async def rows_read(database: Database, text: str, trace_filter: TraceFilter) -> Mapping[str, float]:
    """Returns the number of rows or entries read, by table or index."""
    nearest = query_of(trace_filter)
    prepared = DriverStatement(matches_statement(filter_sql.kinds_of(nearest.trace_filter)))
    parameters = matches_parameters(text, nearest)
    # These connections leave JSON to SQLAlchemy.
    parameters |= {"metadata": json.dumps(parameters.get("metadata"))}

    async def explain(reading: Reading) -> Any:
        raw: Any = (await reading.keyword_search._connection.get_raw_connection()).driver_connection
        sql = f"EXPLAIN (ANALYZE, FORMAT JSON) {prepared.sql}"
        return (await raw.fetchval(sql, *prepared.arguments(parameters)))[0]["Plan"]

    read: dict[str, float] = {"trace_words": 0, "ix_trace_words_words": 0, "trace_signs": 0, "traces": 0}
    for node in nodes(await database.read(explain)):
        removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        name = node.get("Relation Name") or node.get("Index Name")
        # Postgres tells averages, rounded; a key has one row.
        rows = 1 if node.get("Index Name", "").startswith("pk_") else node["Actual Rows"] + removed
        if name in read:
            read[name] += node["Actual Loops"] * rows
    return read


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("narrow", NARROW)
async def test_under_a_narrow_filter_only_its_traces_are_read(database: Database, narrow: str, question: str) -> None:
    trace_filter, passing = NARROW[narrow]
    read = await rows_read(database, QUESTIONS[question], trace_filter)
    assert read["ix_trace_words_words"] == 0
    assert read["trace_words"] == passing
    if not trace_filter.metadata:
        # Those that are held and, of all, as many as tell that no more than the commonest word are few.
        assert read["traces"] <= LIMIT + COMMON + 1
        assert read["trace_signs"] <= passing


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("wide", [*WIDE, *NO_FILTER])
async def test_else_no_more_holders_are_read_than_the_budget_allows(
    database: Database, wide: str, question: str
) -> None:
    trace_filter = (WIDE | NO_FILTER)[wide]
    read = await rows_read(database, QUESTIONS[question], trace_filter)
    looked_up = max(read["ix_trace_words_words"], read["trace_words"])
    assert looked_up <= _GROWN * BUDGET
    # With what has to be read to see that more than a few pass, of which a third does.
    assert read["trace_signs"] <= looked_up + 4 * COMMON
    assert read["traces"] <= LIMIT + COMMON + 1


@pytest.mark.parametrize("wide", NO_FILTER)
async def test_without_a_filter_common_words_are_not_even_looked_up(
    corpus_url: str, database: Database, wide: str
) -> None:
    [(count,)] = await query(corpus_url, "SELECT count(*) FROM traces")
    for question in ("forty common words", "a word that all hold", "8,000 characters"):
        read = await rows_read(database, QUESTIONS[question], NO_FILTER[wide])
        assert (read["ix_trace_words_words"] == 0) is (count > COMMON), question
    read = await rows_read(database, QUESTIONS["a code among common words"], NO_FILTER[wide])
    assert count == COMMON or read["ix_trace_words_words"] == 1


@pytest.mark.parametrize("trace_filter", [*(narrow for narrow, passing in NARROW.values() if passing), *WIDE.values()])
async def test_the_rarest_words_weigh_as_they_do_by_brute_force(
    corpus_url: str, database: Database, trace_filter: TraceFilter
) -> None:
    text = "E01000003 word3 word14 E01000021 E01000300"
    found = await keyword_matches(database, text, trace_filter)
    every: dict[UUID, set[str]] = {}
    passing = await query(
        corpus_url,
        "SELECT id, words_of(title, context_text, solution_text)::text, agent_model = 'few', status FROM traces",
    )
    for trace_id, words, is_few, status in passing:
        if is_passing(trace_filter, is_few=is_few, status=status):
            every[trace_id] = {word.lower() for word in text.split() if f"'{word.lower()}'" in words}
    [(count,)] = await query(corpus_url, "SELECT reltuples FROM pg_class WHERE oid = 'traces'::regclass")
    count = max(count, min(len(passing), COMMON + 1))
    numbers = {word.lower(): sum(word.lower() in held for held in every.values()) for word in text.split()}
    weights = {
        trace_id: sum(
            np.log(1 + (count - numbers[word] + 0.5) / (numbers[word] + 0.5))
            for word in held
            if numbers[word] <= COMMON
        )
        for trace_id, held in every.items()
    }
    heaviest = sorted((weight for weight in weights.values() if weight), reverse=True)[:LIMIT]
    assert [match.weight for match in found] == pytest.approx(heaviest, abs=1e-5)
    for match in found:
        assert match.weight == pytest.approx(weights[match.neighbour.trace_id], abs=1e-5)


def is_passing(trace_filter: TraceFilter, *, is_few: bool, status: str) -> bool:
    if trace_filter.statuses:
        return status in trace_filter.statuses
    return is_few is (trace_filter not in WIDE.values())


async def keyword_matches(database: Database, text: str, trace_filter: TraceFilter) -> list[KeywordMatch]:
    return await database.read(lambda reading: reading.keyword_search.find_matches(text, query_of(trace_filter)))
