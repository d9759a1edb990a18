"""Nearest neighbours among the traces that pass a filter, by the signs of their vectors first.

Whoever has many components of the same sign points in nearly the same direction: the number of bits that differ, the
Hamming distance, picks candidates from small rows, and only theirs are the vectors that are read.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import asyncpg
from sqlalchemy import (
    ColumnElement,
    Double,
    Select,
    Uuid,
    and_,
    bindparam,
    cast,
    exists,
    func,
    literal_column,
    select,
    tablesample,
    true,
)
from sqlalchemy.dialects.postgresql import BIT
from sqlalchemy.orm import aliased

from commontrace.domain.search.neighbours import Neighbour, NeighbourQuery
from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.storage.driver_statement import DriverStatement
from commontrace.storage.models import Trace, TraceSigns
from commontrace.storage.search import filter_sql
from commontrace.storage.search.neighbours import CONSIDERED, EXACT_DISTANCE, considered_parameters, place
from commontrace.storage.traces.repository import TraceRow, row_columns
from commontrace.storage.vector_type import VectorType

MOST_MATCHES = 10_000
"""Where more pass a filter, the vector index is faster."""

_SAMPLED_BYTES = 400_000
# As if more passed than a sample without one that passes suggests.
_LEAST_WIDTH = 0.001

# Once for all rows, which a call with a parameter would not be.
_QUERY_SIGNS = select(
    func.binary_quantize(cast(bindparam("vector"), VectorType()), type_=BIT(varying=True))
).scalar_subquery()
_DIFFERING: ColumnElement[float] = TraceSigns.signs.op("<~>", return_type=Double())(_QUERY_SIGNS)
SEARCHABLE = (
    TraceSigns.is_live,
    TraceSigns.signs.is_not(None),
    TraceSigns.trace_id.is_distinct_from(bindparam("excluded", type_=Uuid)),
)


class RerankedCandidates(NamedTuple):
    """The nearest by (distance, id) of the traces that pass the filter.

    `traces` are those of the neighbours, in their order, if they were asked for.
    """

    neighbours: list[Neighbour]
    traces: list[TraceRow]
    candidate_count: int
    """How many were compared by their vectors."""


@lru_cache(maxsize=1024)
def statement(kinds: filter_sql.Kinds, *, limit: int, candidates: int, full: bool | None) -> Select[Any]:
    """Returns what `BinaryQuantizedSearch.matched` runs; plan tests explain it."""
    picked = (
        select(TraceSigns.trace_id)
        .where(*SEARCHABLE, *filter_sql.conditions_on_signs(kinds))
        .order_by(_DIFFERING, TraceSigns.trace_id)
        .limit(literal_column(str(candidates)))
        .cte("picked")
        .prefix_with("MATERIALIZED")
    )
    # Each by its key, however many of all the planner believes to be considered: OFFSET keeps the subquery apart.
    trace = (
        select(Trace.id, EXACT_DISTANCE, and_(*CONSIDERED).label("is_considered"))
        .where(Trace.id == picked.c.trace_id)
        .offset(literal_column("0"))
        .lateral("trace")
    )
    nearest = (
        select(trace.c.id, trace.c.distance)
        .select_from(picked.join(trace, trace.c.is_considered))
        .order_by(trace.c.distance, trace.c.id)
        .limit(literal_column(str(limit)))
        .cte("nearest")
        .prefix_with("MATERIALIZED")
    )
    told = select(func.count().label("count")).select_from(picked).subquery("told")
    columns = [told.c.count, nearest.c.distance]
    if full is None:
        return select(*columns, nearest.c.id).select_from(told.outerjoin(nearest, true()))
    rows = nearest.join(Trace, Trace.id == nearest.c.id)
    return select(*columns, *row_columns(full=full)).select_from(told.outerjoin(rows, true()))


@lru_cache(maxsize=1024)
def _for_driver(kinds: filter_sql.Kinds, *, limit: int, candidates: int, full: bool | None) -> DriverStatement:
    return DriverStatement(statement(kinds, limit=limit, candidates=candidates, full=full))


@lru_cache(maxsize=256)
def _passes_many(kinds: filter_sql.Kinds) -> DriverStatement:
    beyond = select(TraceSigns.trace_id).where(*filter_sql.conditions_on_signs(kinds))
    return DriverStatement(select(exists(beyond.offset(literal_column(str(MOST_MATCHES))))))


@lru_cache(maxsize=256)
def _sample(kinds: filter_sql.Kinds) -> DriverStatement:
    percent = func.least(100.0, 100.0 * _SAMPLED_BYTES / func.pg_relation_size(TraceSigns.__tablename__))
    sampled = aliased(TraceSigns, tablesample(TraceSigns, func.system(select(percent).scalar_subquery()), "sampled"))
    passing = func.count().filter(*filter_sql.conditions_on_signs(kinds, sampled))
    return DriverStatement(select(passing, func.count()).select_from(sampled))


class BinaryQuantizedSearch:
    """Finds traces that pass a filter, as long as few do."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        """Takes a connection of `Database.search_binary_quantized`."""
        self._connection = connection

    async def matched(
        self, nearest: NeighbourQuery, *, candidates: int, full: bool | None = None
    ) -> RerankedCandidates:
        """Returns the nearest among the `candidates` whose signs differ least; `full` None asks for no traces.

        Raises ModelReplaced where vectors of the model are of another length.
        """
        prepared = _for_driver(
            filter_sql.kinds_of(nearest.trace_filter), limit=nearest.limit, candidates=candidates, full=full
        )
        rows = await self._connection.fetch(prepared.sql, *prepared.arguments(considered_parameters(nearest)))
        # Where there is no neighbour, one row tells the rest.
        found = [(Neighbour(columns[0], distance), columns) for _, distance, *columns in rows if distance is not None]
        found.sort(key=lambda hit: place(hit[0]))
        return RerankedCandidates(
            neighbours=[neighbour for neighbour, _ in found],
            traces=[] if full is None else [TraceRow.of(columns) for _, columns in found],
            candidate_count=rows[0][0],
        )

    async def width(self, trace_filter: ResolvedFilter) -> float:
        """Returns about which share of all traces passes a filter, within 0..1, by a sample; 0.0 for few."""
        kinds, parameters = filter_sql.kinds_of(trace_filter), filter_sql.parameters(trace_filter)
        many = _passes_many(kinds)
        if not await self._connection.fetchval(many.sql, *many.arguments(parameters)):
            return 0.0
        sample = _sample(kinds)
        passing, count = await self._connection.fetchrow(sample.sql, *sample.arguments(parameters))
        return float(max(passing / max(count, 1), _LEAST_WIDTH))
