"""Nearest-neighbour search over the traces of one embedding model: approximate by the HNSW index, and exact.

The index holds halves of the vectors and picks candidates; their full vectors rank them (ADR 0062).
"""

from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any
from uuid import UUID

import asyncpg
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    ARRAY,
    Double,
    Integer,
    Select,
    String,
    Uuid,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    true,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.domain.search.neighbours import Neighbour, NeighbourQuery
from commontrace.storage.driver_statement import DriverStatement
from commontrace.storage.models import Trace
from commontrace.storage.search import filter_sql
from commontrace.storage.traces.repository import TraceRow, row_columns
from commontrace.storage.vector_type import VectorType

DISTANCE = Trace.embedding.cosine_distance(bindparam("vector", type_=VectorType()))
# `+ 0` keeps the approximate vector index out of the plan.
EXACT_DISTANCE = (DISTANCE + 0).label("distance")

LIVE_OF_MODEL = (
    Trace.deleted_at.is_(None),
    Trace.embedding_model_id == bindparam("model_id", type_=String),
    Trace.embedding_model_version == bindparam("model_version", type_=String),
    Trace.id.is_distinct_from(bindparam("excluded_id", type_=Uuid)),
)

# The statement sets it for its own duration: no transaction to open, no setting left on the connection (ADR 0001).
_SET_EF_SEARCH = (
    select(func.set_config("hnsw.ef_search", bindparam("ef_search", type_=String), true()))
    .scalar_subquery()
    .is_not(None)
)

# Of a subquery's rows Postgres makes a hash table: one lookup for each trace, however many ids there are.
_NOT_EXCLUDED = Trace.id.not_in(select(func.unnest(bindparam("excluded_ids", type_=ARRAY(Uuid)))))
_AFTER = tuple_(DISTANCE, Trace.id) > tuple_(
    bindparam("after_distance", type_=Double), bindparam("after_id", type_=Uuid)
)
_BEFORE_ALL = Neighbour(UUID(int=0), -1.0)


def candidate_count(limit: int, *, ef_search: int) -> int:
    """Returns how many of the index's candidates are re-ranked for a limit.

    By halves, each of the nearest is at most one rank later than by full vectors; a candidate costs 0.03 ms (ADR 0062).
    More than `ef_search` would make the index scan a second time.
    """
    return max(limit, min(limit + 2 + limit // 20, ef_search))


# Statements are cached: building one costs more than running it. Their text names the dimensions, as the index does.
@lru_cache(maxsize=256)
def approximate_statement(kinds: filter_sql.Kinds, *, dimensions: int) -> Select[Any]:
    """Returns the statement of `ApproximateSearch.neighbours` for filters of these kinds: candidates, not in order."""
    return _candidates(kinds, dimensions).limit(bindparam("row_limit", type_=Integer))


@lru_cache(maxsize=1024)
def hits_statement(kinds: filter_sql.Kinds, *, dimensions: int, limit: int, candidates: int, full: bool) -> Select[Any]:
    """Returns the statement of `ApproximateSearch.hits`.

    The limits are part of the text: for an unknown limit, the planner expects so many rows that it chooses a slower
    join.
    """
    candidate = (
        _candidates(kinds, dimensions)
        .limit(literal_column(str(candidates)))
        .cte("candidate")
        .prefix_with("MATERIALIZED")
    )
    nearest = (
        select(candidate.c.id, candidate.c.distance)
        .order_by(candidate.c.distance, candidate.c.id)
        .limit(literal_column(str(limit)))
        .cte("nearest")
        .prefix_with("MATERIALIZED")
    )
    columns = row_columns(full=full)
    return select(nearest.c.distance, *columns).select_from(nearest.join(Trace, Trace.id == nearest.c.id))


def _candidates(kinds: filter_sql.Kinds, dimensions: int) -> Select[Any]:
    halves = HALFVEC(dimensions)
    # In a subquery, Postgres converts the query once, and not for each row.
    query = select(cast(cast(bindparam("vector"), VectorType()), halves)).scalar_subquery()
    return (
        select(Trace.id, DISTANCE.label("distance"))
        .where(*LIVE_OF_MODEL, *filter_sql.conditions(kinds), _SET_EF_SEARCH)
        .order_by(cast(Trace.embedding, halves).op("<=>")(query))
    )


@lru_cache(maxsize=256)
def _neighbours_for_driver(kinds: filter_sql.Kinds, *, dimensions: int) -> DriverStatement:
    return DriverStatement(approximate_statement(kinds, dimensions=dimensions))


@lru_cache(maxsize=1024)
def _hits_for_driver(
    kinds: filter_sql.Kinds, *, dimensions: int, limit: int, candidates: int, full: bool
) -> DriverStatement:
    statement = hits_statement(kinds, dimensions=dimensions, limit=limit, candidates=candidates, full=full)
    return DriverStatement(statement)


@lru_cache(maxsize=256)
def _exact_statement(kinds: filter_sql.Kinds, *, is_continued: bool) -> Select[Any]:
    remaining = (_NOT_EXCLUDED, _AFTER) if is_continued else ()
    return (
        select(Trace.id, EXACT_DISTANCE)
        .where(*LIVE_OF_MODEL, *filter_sql.conditions(kinds), *remaining)
        .order_by(EXACT_DISTANCE, Trace.id)
        .limit(bindparam("row_limit", type_=Integer))
    )


class ApproximateSearch:
    """Approximate nearest-neighbour search by the HNSW index, which may miss some, and return fewer than exist.

    Runs on a connection of the search pool. `ef_search` (1..1000) is the number of candidates that the index keeps.
    Both methods raise ModelReplaced where vectors of the model have other dimensions.
    """

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def neighbours(self, query: NeighbourQuery, *, ef_search: int) -> list[Neighbour]:
        """Returns up to `limit` neighbours by (distance, id)."""
        statement = _neighbours_for_driver(filter_sql.kinds_of(query.trace_filter), dimensions=len(query.vector))
        rows = await self._connection.fetch(
            statement.sql, *statement.arguments(approximate_parameters(query, ef_search=ef_search))
        )
        return sorted((Neighbour(*row) for row in rows), key=attrgetter("sort_key"))[: query.limit]

    async def hits(self, query: NeighbourQuery, *, ef_search: int, full: bool) -> list[tuple[Neighbour, TraceRow]]:
        """Returns up to `limit` neighbours by (distance, id) with their traces, in one round trip.

        Meant for small limits: each limit is a prepared statement of its own.
        """
        statement = _hits_for_driver(
            filter_sql.kinds_of(query.trace_filter),
            dimensions=len(query.vector),
            limit=query.limit,
            candidates=candidate_count(query.limit, ef_search=ef_search),
            full=full,
        )
        rows = await self._connection.fetch(
            statement.sql, *statement.arguments(approximate_parameters(query, ef_search=ef_search))
        )
        traces = ((distance, TraceRow.of(row)) for distance, *row in rows)
        found = [(Neighbour(trace.id, distance), trace) for distance, trace in traces]
        return sorted(found, key=lambda hit: hit[0].sort_key)


class ExactSearch:
    """Exact nearest-neighbour search: compares the query with every trace of the model that passes the filter."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def neighbours(
        self, query: NeighbourQuery, *, excluded_ids: Sequence[UUID] = (), after: Neighbour | None = None
    ) -> list[Neighbour]:
        """Returns the `limit` nearest by (distance, id), without the excluded ones, of those that come after `after`.

        Raises ModelReplaced where vectors of the model have other dimensions.
        """
        is_continued = bool(excluded_ids) or after is not None
        parameters = query_parameters(query)
        if is_continued:
            after_id, after_distance = after or _BEFORE_ALL
            parameters |= {"excluded_ids": list(excluded_ids), "after_distance": after_distance, "after_id": after_id}
        statement = _exact_statement(filter_sql.kinds_of(query.trace_filter), is_continued=is_continued)
        return [Neighbour._make(row) for row in await self._connection.execute(statement, parameters)]


def approximate_parameters(query: NeighbourQuery, *, ef_search: int) -> dict[str, Any]:
    """Returns the parameters of the approximate statements."""
    row_limit = candidate_count(query.limit, ef_search=ef_search)
    return query_parameters(query) | {"ef_search": str(ef_search), "row_limit": row_limit}


def query_parameters(query: NeighbourQuery) -> dict[str, Any]:
    """Returns the parameters of the query that all statements share: vector, model, limit, filter."""
    return {
        "vector": query.vector,
        "model_id": query.model_id,
        "model_version": query.model_version,
        "row_limit": query.limit,
        "excluded_id": query.excluded_id,
        **filter_sql.parameters(query.trace_filter),
    }
