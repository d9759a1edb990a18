"""Traces that hold the words of a text, by how rare those are."""

from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    Double,
    Integer,
    Numeric,
    Select,
    String,
    Uuid,
    bindparam,
    cast,
    func,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.util import ClauseAdapter

from commontrace.core.nearest import Nearest
from commontrace.storage import trace_filter
from commontrace.storage.models import WORDS, Trace
from commontrace.storage.trace_search import CONSIDERED, DISTANCE, Neighbour, considered_parameters

COMMON = 1_000
"""A word that more of the traces considered hold tells little, takes long to look up, and is left out."""

# Of a longer text half are its first words and half its last: one of the two ends of a traceback says what happened.
_MOST_WORDS = 64

# In the spelling of a query, where quotes and backslashes are doubled.
_QUOTED = r"""'''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || ''''"""


class Holder(NamedTuple):
    """A trace that holds words of a text, and the sum of their weights, each the greater the fewer traces hold it."""

    neighbour: Neighbour
    weight: float


class WordSearch:
    """Finds traces by the index of words."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Takes a connection of `Database.read`."""
        self._connection = connection

    async def holders(self, words: str, nearest: Nearest) -> list[Holder]:
        """Returns up to `limit` traces, of those that `nearest` considers, by (weight, id), the heaviest first."""
        statement = holders_statement(trace_filter.kinds_of(nearest.considered))
        rows = await self._connection.execute(statement, holders_parameters(words, nearest))
        return [Holder(Neighbour(trace_id, distance), weight) for trace_id, distance, weight in rows]


@lru_cache(maxsize=256)
def holders_statement(kinds: trace_filter.Kinds) -> Select[Any]:
    """Returns what `WordSearch.holders` runs for filters of these kinds; plan tests explain it.

    The weight of a word is its inverse document frequency as BM25 has it: S. Robertson and H. Zaragoza, "The
    Probabilistic Relevance Framework: BM25 and Beyond", Foundations and Trends in Information Retrieval 3 (2009), 3.2.
    """
    asked = (
        select(
            cast(literal_column(_QUOTED), TSQUERY).label("word"),
            func.row_number().over(order_by=literal_column("positions[1]")).label("place"),
            func.count().over().label("words"),
        )
        .select_from(
            func.unnest(func.words_of(bindparam("words", type_=String), "", "")).table_valued("lexeme", "positions")
        )
        .subquery("asked")
    )
    half = _MOST_WORDS // 2
    chosen = (
        select(asked.c.word)
        .where(or_(asked.c.place <= half, asked.c.place > asked.c.words - half))
        .cte("chosen")
        .prefix_with("MATERIALIZED")
    )
    # With an offset, be it none, the planner looks the word up before anything else: it might find the traces by
    # another condition and take the texts of all of them apart.
    with_word = (
        select(Trace.__table__)
        .where(text(f"{WORDS} @@ chosen.word"))
        .offset(literal_column("0"))
        .correlate(chosen)
        .subquery("with_word")
    )
    conditions = map(ClauseAdapter(with_word).traverse, (*CONSIDERED, *trace_filter.conditions(kinds)))
    holding = select(with_word.c.id).where(*conditions).limit(COMMON + 1).correlate(chosen)
    held = select(func.array(holding.scalar_subquery(), type_=ARRAY(Uuid)).label("ids")).select_from(chosen)
    holders = held.cte("holders").prefix_with("MATERIALIZED")
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
    heaviest = (
        select(each.c.id, weight.label("weight"))
        .group_by(each.c.id)
        .order_by(weight.desc(), each.c.id)
        .limit(bindparam("row_limit", type_=Integer))
        .subquery("heaviest")
    )
    return (
        select(Trace.id, DISTANCE.label("distance"), cast(heaviest.c.weight, Double))
        .join(heaviest, heaviest.c.id == Trace.id)
        .order_by(heaviest.c.weight.desc(), Trace.id)
    )


def holders_parameters(words: str, nearest: Nearest) -> dict[str, Any]:
    """Returns the parameters of the statement."""
    return considered_parameters(nearest) | {"words": words}


def _traces() -> Any:
    """Returns about how many there are, and exactly up to as many as a word may be held by."""
    few = select(literal_column("1")).select_from(Trace.__table__).limit(COMMON + 1).subquery("few")
    about: Select[Any] = select(text("reltuples FROM pg_class WHERE oid = CAST('traces' AS regclass)"))
    return func.greatest(select(func.count()).select_from(few).scalar_subquery(), about.scalar_subquery())
