"""Filtered nearest-neighbour search by binary quantization, with re-ranking by the full vectors (ADR 0023).

The quantized vectors are the signs of the components, a bit each, in the narrow table `trace_signs`. The Hamming
distance between them picks candidates; only the candidates' full vectors are read, and rank them by cosine distance.
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
from commontrace.storage.search.neighbours import EXACT_DISTANCE, LIVE_OF_MODEL, query_parameters
from commontrace.storage.traces.repository import TraceRow, row_columns
from commontrace.storage.vector_type import VectorType

MOST_MATCHES = 10_000
"""The most traces that pass a filter for which this is faster than the vector index."""

_SAMPLED_BYTES = 400_000
# Assumed where no trace of the sample passes, although more than MOST_MATCHES of all traces do.
_LEAST_SELECTIVITY = 0.001

# In a subquery, Postgres quantizes the query once, and not for each row.
_QUERY_SIGNS = select(
    func.binary_quantize(cast(bindparam("vector"), VectorType()), type_=BIT(varying=True))
).scalar_subquery()
_HAMMING_DISTANCE: ColumnElement[float] = TraceSigns.signs.op("<~>", return_type=Double())(_QUERY_SIGNS)
SEARCHABLE = (
    TraceSigns.is_live,
    TraceSigns.signs.is_not(None),
    TraceSigns.trace_id.is_distinct_from(bindparam("excluded_id", type_=Uuid)),
)


class RerankedCandidates(NamedTuple):
    """Candidates by Hamming distance, re-ranked: the nearest of them by (distance, id).

    `traces` are those of the neighbours, in the same order, if they were asked for.
    """

    neighbours: list[Neighbour]
    traces: list[TraceRow]
    candidate_count: int
    """The number of candidates, whose full vectors were compared."""


@lru_cache(maxsize=1024)
def reranked_statement(kinds: filter_sql.Kinds, *, limit: int, candidates: int, full: bool | None) -> Select[Any]:
    """Returns the statement of `BinaryQuantizedSearch.find_reranked`."""
    picked = (
        select(TraceSigns.trace_id)
        .where(*SEARCHABLE, *filter_sql.conditions_on_signs(kinds))
        .order_by(_HAMMING_DISTANCE, TraceSigns.trace_id)
        .limit(literal_column(str(candidates)))
        .cte("picked")
        .prefix_with("MATERIALIZED")
    )
    # OFFSET keeps the planner from merging the subquery: each candidate is looked up by its key.
    trace = (
        select(Trace.id, EXACT_DISTANCE, and_(*LIVE_OF_MODEL).label("is_candidate"))
        .where(Trace.id == picked.c.trace_id)
        .offset(literal_column("0"))
        .lateral("trace")
    )
    nearest = (
        select(trace.c.id, trace.c.distance)
        .select_from(picked.join(trace, trace.c.is_candidate))
        .order_by(trace.c.distance, trace.c.id)
        .limit(literal_column(str(limit)))
        .cte("nearest")
        .prefix_with("MATERIALIZED")
    )
    counted = select(func.count().label("count")).select_from(picked).subquery("counted")
    columns = [counted.c.count, nearest.c.distance]
    if full is None:
        return select(*columns, nearest.c.id).select_from(counted.outerjoin(nearest, true()))
    rows = nearest.join(Trace, Trace.id == nearest.c.id)
    return select(*columns, *row_columns(full=full)).select_from(counted.outerjoin(rows, true()))


@lru_cache(maxsize=1024)
def _reranked_for_driver(kinds: filter_sql.Kinds, *, limit: int, candidates: int, full: bool | None) -> DriverStatement:
    return DriverStatement(reranked_statement(kinds, limit=limit, candidates=candidates, full=full))


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
    """Search by binary quantization, for filters that few traces pass. Runs on a connection of the search pool."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def find_reranked(
        self, query: NeighbourQuery, *, candidates: int, full: bool | None = None
    ) -> RerankedCandidates:
        """Returns the nearest among so many candidates of the least Hamming distance; `full` None fetches no traces.

        Raises ModelReplaced where vectors of the model have other dimensions.
        """
        prepared = _reranked_for_driver(
            filter_sql.kinds_of(query.trace_filter), limit=query.limit, candidates=candidates, full=full
        )
        rows = await self._connection.fetch(prepared.sql, *prepared.arguments(query_parameters(query)))
        # Without neighbours, one row has the number of candidates alone.
        found = [(Neighbour(columns[0], distance), columns) for _, distance, *columns in rows if distance is not None]
        found.sort(key=lambda hit: hit[0].sort_key)
        return RerankedCandidates(
            neighbours=[neighbour for neighbour, _ in found],
            traces=[] if full is None else [TraceRow.of(columns) for _, columns in found],
            candidate_count=rows[0][0],
        )

    async def selectivity(self, trace_filter: ResolvedFilter) -> float:
        """Returns an estimate of the share of all traces that pass a filter, within 0..1, by a sample.

        Returns 0.0 where at most MOST_MATCHES traces pass, for which this search is the faster one.
        """
        kinds, parameters = filter_sql.kinds_of(trace_filter), filter_sql.parameters(trace_filter)
        many = _passes_many(kinds)
        if not await self._connection.fetchval(many.sql, *many.arguments(parameters)):
            return 0.0
        sample = _sample(kinds)
        passing, count = await self._connection.fetchrow(sample.sql, *sample.arguments(parameters))
        return float(max(passing / max(count, 1), _LEAST_SELECTIVITY))
