"""Keyword search: traces that hold the rarest words of a text, weighted by inverse document frequency (ADR 0040)."""

from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    Double,
    Integer,
    Numeric,
    Select,
    Uuid,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    text,
    true,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.domain.search.neighbours import Neighbour, NeighbourQuery
from commontrace.storage.models import Trace, TraceSigns, TraceWords
from commontrace.storage.search import filter_sql
from commontrace.storage.search.binary_quantized import SEARCHABLE
from commontrace.storage.search.neighbours import DISTANCE, LIVE_OF_MODEL, query_parameters
from commontrace.storage.search.query_words import QUERY_WORDS

COMMON = 1_000
"""The highest document frequency of a word that counts: words in more traces are common and left out.

Where no more traces than that pass a filter, their words are read, instead of the index of words.
"""

BUDGET = 20_000
"""The most index entries that a search reads, of all its words together: the rarest words first, the rest left out."""

_SURELY_COMMON = 5 * COMMON // 4
"""COMMON by the statistics, which are up to a tenth behind. Without a filter, such words are not looked up at all."""

_NOT_MERGED: ColumnElement[int] = literal_column("0")
"""As an OFFSET, it keeps the planner from merging a subquery: it is run for each row of the relation before it."""


class KeywordMatch(NamedTuple):
    """A trace that holds words of the text, and the sum of their weights: the rarer a word, the greater its weight."""

    neighbour: Neighbour
    weight: float


class KeywordSearch:
    """Keyword search over the candidates of a neighbour query."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find_matches(self, text: str, query: NeighbourQuery) -> list[KeywordMatch]:
        """Returns up to `limit` traces that hold words of the text, by (weight, id), the heaviest first.

        The distance of each is that of its vector to the query's.
        """
        statement = matches_statement(filter_sql.kinds_of(query.trace_filter))
        rows = await self._connection.execute(statement, matches_parameters(text, query))
        return [KeywordMatch(Neighbour(trace_id, distance), weight) for trace_id, distance, weight in rows]


@lru_cache(maxsize=256)
def matches_statement(kinds: filter_sql.Kinds) -> Select[Any]:
    """Returns the statement of `KeywordSearch.find_matches` for filters of these kinds.

    The weight of a word is its inverse document frequency as BM25 has it: S. Robertson and H. Zaragoza, "The
    Probabilistic Relevance Framework: BM25 and Beyond", Foundations and Trends in Information Retrieval 3 (2009), 3.2.
    """
    query_words = QUERY_WORDS.cte("query_words").prefix_with("MATERIALIZED")
    postings = _postings(query_words, kinds).cte("postings").prefix_with("MATERIALIZED")
    frequency = func.cardinality(postings.c.ids)
    each = (
        select(func.unnest(postings.c.ids).label("id"), cast(frequency, Double).label("frequency"))
        .where(frequency <= COMMON)
        .subquery("each")
    )
    # Rounded: sums of the same weights in another order differ in their last digits.
    weight = func.round(
        cast(func.sum(func.ln(1 + (_trace_count() - each.c.frequency + 0.5) / (each.c.frequency + 0.5))), Numeric), 6
    )
    weighed = (
        select(each.c.id, weight.label("weight"))
        .group_by(each.c.id)
        .order_by(weight.desc(), each.c.id)
        .offset(_NOT_MERGED)
        .subquery("weighed")
    )
    trace = (
        select(Trace.id, DISTANCE.label("distance"))
        .where(Trace.id == weighed.c.id, *LIVE_OF_MODEL)
        .offset(_NOT_MERGED)
        .lateral("trace")
    )
    return (
        select(trace.c.id, trace.c.distance, cast(weighed.c.weight, Double))
        .select_from(weighed.join(trace, true()))
        .order_by(weighed.c.weight.desc(), weighed.c.id)
        .limit(bindparam("row_limit", type_=Integer))
    )


def _postings(query_words: CTE, kinds: filter_sql.Kinds) -> Any:
    """Returns posting lists, the ids of the traces that hold a word: a row for each word within the bounds."""
    if filter_sql.passes_nearly_all(kinds):
        return _postings_by_index(query_words, kinds).where(query_words.c.frequency <= _SURELY_COMMON)
    passing = (
        select(TraceSigns.trace_id)
        .where(*SEARCHABLE, *filter_sql.conditions_on_signs(kinds))
        .limit(COMMON + 1)
        .cte("passing")
        .prefix_with("MATERIALIZED")
    )
    are_few = select(func.count()).select_from(passing).scalar_subquery() <= COMMON
    return union_all(
        _postings_by_scan(query_words, passing).where(are_few),
        _postings_by_index(query_words, kinds).where(~are_few),
    )


def _postings_by_index(query_words: CTE, kinds: filter_sql.Kinds) -> Select[Any]:
    """Returns posting lists from the index of words, within the budget."""
    with_word = (
        select(TraceWords.trace_id)
        .where(TraceWords.words.op("@@")(query_words.c.word))
        .offset(_NOT_MERGED)
        .correlate(query_words)
        .subquery("with_word")
    )
    passing = (
        select(TraceSigns.trace_id)
        .where(TraceSigns.trace_id == with_word.c.trace_id, *SEARCHABLE, *filter_sql.conditions_on_signs(kinds))
        .offset(_NOT_MERGED)
        .lateral("passing_one")
    )
    holding = select(with_word.c.trace_id).join(passing, true()).limit(COMMON + 1).correlate(query_words)
    return select(func.array(holding.scalar_subquery(), type_=ARRAY(Uuid)).label("ids")).where(
        query_words.c.cumulative_frequency <= BUDGET
    )


def _postings_by_scan(query_words: CTE, passing: CTE) -> Select[Any]:
    """Returns posting lists by reading the words of the few traces that pass a filter."""
    words = (
        select(TraceWords.words)
        .where(TraceWords.trace_id == passing.c.trace_id)
        .offset(_NOT_MERGED)
        .lateral("words_of_one")
    )
    return (
        select(func.array_agg(passing.c.trace_id, type_=ARRAY(Uuid)).label("ids"))
        .select_from(passing.join(words, true()).join(query_words, words.c.words.op("@@")(query_words.c.word)))
        .group_by(query_words.c.word)
    )


def matches_parameters(text: str, query: NeighbourQuery) -> dict[str, Any]:
    """Returns the parameters of the statement."""
    return query_parameters(query) | {"words": text}


def _trace_count() -> Any:
    """Returns the number of traces: exact up to COMMON + 1, and an estimate above."""
    few = select(literal_column("1")).select_from(Trace.__table__).limit(COMMON + 1).subquery("few")
    about: Select[Any] = select(text("reltuples FROM pg_class WHERE oid = CAST('traces' AS regclass)"))
    return func.greatest(select(func.count()).select_from(few).scalar_subquery(), about.scalar_subquery())
