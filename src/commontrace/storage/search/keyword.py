"""Traces that hold the words of a text, by how rare those are."""

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
from commontrace.storage.search.neighbours import CONSIDERED, DISTANCE, considered_parameters
from commontrace.storage.search.query_words import QUERY_WORDS

COMMON = 1_000
"""A word that more of the traces considered hold tells little and is left out.

Where no more traces than that pass a filter, their words are read instead of looking up who holds a word.
"""

BUDGET = 20_000
"""How many holders a search looks up, of all its words together: the rarest words first, the rest is left out."""

_SURELY_COMMON = 5 * COMMON // 4
"""As statistics tell it, which are up to a tenth behind. Without a filter, nobody looks up who holds such a word."""

_AT_ONCE: ColumnElement[int] = literal_column("0")
"""As an OFFSET it keeps a subquery apart: the planner carries it out for each row of what stands before it."""


class KeywordMatch(NamedTuple):
    """A trace that holds words of a text, and the sum of their weights, each the greater the fewer traces hold it."""

    neighbour: Neighbour
    weight: float


class KeywordSearch:
    """Finds traces by their words."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Takes a connection of `Database.read`."""
        self._connection = connection

    async def holders(self, words: str, nearest: NeighbourQuery) -> list[KeywordMatch]:
        """Returns up to `limit` traces, of those that `nearest` considers, by (weight, id), the heaviest first."""
        statement = holders_statement(filter_sql.kinds_of(nearest.trace_filter))
        rows = await self._connection.execute(statement, holders_parameters(words, nearest))
        return [KeywordMatch(Neighbour(trace_id, distance), weight) for trace_id, distance, weight in rows]


@lru_cache(maxsize=256)
def holders_statement(kinds: filter_sql.Kinds) -> Select[Any]:
    """Returns what `KeywordSearch.holders` runs for filters of these kinds; plan tests explain it.

    The weight of a word is its inverse document frequency as BM25 has it: S. Robertson and H. Zaragoza, "The
    Probabilistic Relevance Framework: BM25 and Beyond", Foundations and Trends in Information Retrieval 3 (2009), 3.2.
    """
    asked = QUERY_WORDS.cte("asked").prefix_with("MATERIALIZED")
    holders = _holders(asked, kinds).cte("holders").prefix_with("MATERIALIZED")
    number = func.cardinality(holders.c.ids)
    each = (
        select(func.unnest(holders.c.ids).label("id"), cast(number, Double).label("number"))
        .where(number <= COMMON)
        .subquery("each")
    )
    # Sums of the same words in another order may differ in their last digits.
    weight = func.round(
        cast(func.sum(func.ln(1 + (_traces() - each.c.number + 0.5) / (each.c.number + 0.5))), Numeric), 6
    )
    weighed = (
        select(each.c.id, weight.label("weight"))
        .group_by(each.c.id)
        .order_by(weight.desc(), each.c.id)
        .offset(_AT_ONCE)
        .subquery("weighed")
    )
    trace = (
        select(Trace.id, DISTANCE.label("distance"))
        .where(Trace.id == weighed.c.id, *CONSIDERED)
        .offset(_AT_ONCE)
        .lateral("trace")
    )
    return (
        select(trace.c.id, trace.c.distance, cast(weighed.c.weight, Double))
        .select_from(weighed.join(trace, true()))
        .order_by(weighed.c.weight.desc(), weighed.c.id)
        .limit(bindparam("row_limit", type_=Integer))
    )


def _holders(asked: CTE, kinds: filter_sql.Kinds) -> Any:
    """Returns the ids of the traces that hold a word, a row for each word that is neither too common nor too dear."""
    if kinds <= {"current_only"}:
        return _by_words(asked, kinds).where(asked.c.holders <= _SURELY_COMMON)
    passing = (
        select(TraceSigns.trace_id)
        .where(*SEARCHABLE, *filter_sql.conditions_on_signs(kinds))
        .limit(COMMON + 1)
        .cte("passing")
        .prefix_with("MATERIALIZED")
    )
    are_few = select(func.count()).select_from(passing).scalar_subquery() <= COMMON
    return union_all(_by_traces(asked, passing).where(are_few), _by_words(asked, kinds).where(~are_few))


def _by_words(asked: CTE, kinds: filter_sql.Kinds) -> Select[Any]:
    """Looks up who holds the words that can be afforded."""
    with_word = (
        select(TraceWords.trace_id)
        .where(TraceWords.words.op("@@")(asked.c.word))
        .offset(_AT_ONCE)
        .correlate(asked)
        .subquery("with_word")
    )
    passing = (
        select(TraceSigns.trace_id)
        .where(TraceSigns.trace_id == with_word.c.trace_id, *SEARCHABLE, *filter_sql.conditions_on_signs(kinds))
        .offset(_AT_ONCE)
        .lateral("passing_one")
    )
    holding = select(with_word.c.trace_id).join(passing, true()).limit(COMMON + 1).correlate(asked)
    return select(func.array(holding.scalar_subquery(), type_=ARRAY(Uuid)).label("ids")).where(
        asked.c.holders_so_far <= BUDGET
    )


def _by_traces(asked: CTE, passing: CTE) -> Select[Any]:
    """Reads the words of the few traces that pass a filter."""
    words = (
        select(TraceWords.words)
        .where(TraceWords.trace_id == passing.c.trace_id)
        .offset(_AT_ONCE)
        .lateral("words_of_one")
    )
    return (
        select(func.array_agg(passing.c.trace_id, type_=ARRAY(Uuid)).label("ids"))
        .select_from(passing.join(words, true()).join(asked, words.c.words.op("@@")(asked.c.word)))
        .group_by(asked.c.word)
    )


def holders_parameters(words: str, nearest: NeighbourQuery) -> dict[str, Any]:
    """Returns the parameters of the statement."""
    return considered_parameters(nearest) | {"words": words}


def _traces() -> Any:
    """Returns about how many there are, and exactly up to as many as a word may be held by."""
    few = select(literal_column("1")).select_from(Trace.__table__).limit(COMMON + 1).subquery("few")
    about: Select[Any] = select(text("reltuples FROM pg_class WHERE oid = CAST('traces' AS regclass)"))
    return func.greatest(select(func.count()).select_from(few).scalar_subquery(), about.scalar_subquery())
