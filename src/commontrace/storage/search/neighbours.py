"""Nearest neighbours of a vector among the live traces of one embedding model."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import (
    ARRAY,
    Double,
    Integer,
    Select,
    String,
    Uuid,
    bindparam,
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
# `+ 0` keeps the vector index, which is approximate, out of the plan.
EXACT_DISTANCE = (DISTANCE + 0).label("distance")

CONSIDERED = (
    Trace.deleted_at.is_(None),
    Trace.embedding_model_id == bindparam("model_id", type_=String),
    Trace.embedding_model_version == bindparam("model_version", type_=String),
    Trace.id.is_distinct_from(bindparam("excluded", type_=Uuid)),
)

# Set by the statement for itself: no transaction to open, nothing left behind on the connection.
_EF_SEARCH_IS_SET = (
    select(func.set_config("hnsw.ef_search", bindparam("ef_search", type_=String), true()))
    .scalar_subquery()
    .is_not(None)
)

# From a subquery: Postgres looks ids up in a hash of its rows, however many there are.
_NOT_SENT = Trace.id.not_in(select(func.unnest(bindparam("besides", type_=ARRAY(Uuid)))))
_BEHIND = tuple_(DISTANCE, Trace.id) > tuple_(
    bindparam("behind_distance", type_=Double), bindparam("behind_id", type_=Uuid)
)


_BEFORE_ALL = Neighbour(UUID(int=0), -1.0)


# Statements are made once: putting one together costs more than running it.
@lru_cache(maxsize=256)
def approximate_statement(kinds: filter_sql.Kinds) -> Select[Any]:
    """Returns what `ApproximateSearch.neighbours` runs for filters of these kinds; plan tests explain it."""
    return _nearest(kinds).limit(bindparam("row_limit", type_=Integer))


@lru_cache(maxsize=1024)
def hits_statement(kinds: filter_sql.Kinds, *, limit: int, full: bool) -> Select[Any]:
    """Returns what `ApproximateSearch.hits` runs; plan tests explain it.

    The limit stands in the text: of an unknown one the planner expects so many rows that it gets them the slow way.
    """
    nearest = _nearest(kinds).limit(literal_column(str(limit))).cte("nearest").prefix_with("MATERIALIZED")
    columns = row_columns(full=full)
    return select(nearest.c.distance, *columns).select_from(nearest.join(Trace, Trace.id == nearest.c.id))


def _nearest(kinds: filter_sql.Kinds) -> Select[Any]:
    return (
        select(Trace.id, DISTANCE.label("distance"))
        .where(*CONSIDERED, *filter_sql.conditions(kinds), _EF_SEARCH_IS_SET)
        .order_by(DISTANCE)
    )


@lru_cache(maxsize=256)
def _neighbours_for_driver(kinds: filter_sql.Kinds) -> DriverStatement:
    return DriverStatement(approximate_statement(kinds))


@lru_cache(maxsize=1024)
def _hits_for_driver(kinds: filter_sql.Kinds, limit: int, *, full: bool) -> DriverStatement:
    return DriverStatement(hits_statement(kinds, limit=limit, full=full))


@lru_cache(maxsize=256)
def _exact_statement(kinds: filter_sql.Kinds, *, is_continued: bool) -> Select[Any]:
    remaining = (_NOT_SENT, _BEHIND) if is_continued else ()
    return (
        select(Trace.id, EXACT_DISTANCE)
        .where(*CONSIDERED, *filter_sql.conditions(kinds), *remaining)
        .order_by(EXACT_DISTANCE, Trace.id)
        .limit(bindparam("row_limit", type_=Integer))
    )


class ApproximateSearch:
    """Finds traces by the HNSW index, which may miss some, and return fewer than exist.

    `ef_search` (1..1000) is the number of candidates the index keeps. Both methods raise ModelReplaced where vectors of
    the model are of another length.
    """

    def __init__(self, connection: asyncpg.Connection) -> None:
        """Takes a connection of `Database.search`."""
        self._connection = connection

    async def neighbours(self, nearest: NeighbourQuery, *, ef_search: int) -> list[Neighbour]:
        """Returns up to `limit` neighbours by (distance, id)."""
        statement = _neighbours_for_driver(filter_sql.kinds_of(nearest.trace_filter))
        rows = await self._connection.fetch(
            statement.sql, *statement.arguments(approximate_parameters(nearest, ef_search=ef_search))
        )
        return sorted((Neighbour(*row) for row in rows), key=place)

    async def hits(self, nearest: NeighbourQuery, *, ef_search: int, full: bool) -> list[tuple[Neighbour, TraceRow]]:
        """Returns up to `limit` neighbours by (distance, id) with their traces, in one round trip.

        For small limits: a statement is prepared for each.
        """
        statement = _hits_for_driver(filter_sql.kinds_of(nearest.trace_filter), nearest.limit, full=full)
        rows = await self._connection.fetch(
            statement.sql, *statement.arguments(approximate_parameters(nearest, ef_search=ef_search))
        )
        traces = ((distance, TraceRow.of(row)) for distance, *row in rows)
        found = [(Neighbour(trace.id, distance), trace) for distance, trace in traces]
        return sorted(found, key=lambda hit: place(hit[0]))


class ExactSearch:
    """Finds traces by comparing every one that is considered."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Takes a connection of `Database.read`."""
        self._connection = connection

    async def neighbours(
        self, nearest: NeighbourQuery, *, besides: Sequence[UUID] = (), behind: Neighbour | None = None
    ) -> list[Neighbour]:
        """Returns the `limit` nearest by (distance, id).

        Leaves out those in `besides`, and of the others everything up to `behind`. Raises ModelReplaced where vectors
        of the model are of another length.
        """
        is_continued = bool(besides) or behind is not None
        parameters = considered_parameters(nearest)
        if is_continued:
            behind_id, behind_distance = behind or _BEFORE_ALL
            parameters |= {"besides": list(besides), "behind_distance": behind_distance, "behind_id": behind_id}
        statement = _exact_statement(filter_sql.kinds_of(nearest.trace_filter), is_continued=is_continued)
        return [Neighbour._make(row) for row in await self._connection.execute(statement, parameters)]


def approximate_parameters(nearest: NeighbourQuery, *, ef_search: int) -> dict[str, Any]:
    """Returns the parameters of the approximate statements."""
    return considered_parameters(nearest) | {"ef_search": str(ef_search)}


def considered_parameters(nearest: NeighbourQuery) -> dict[str, Any]:
    """Returns the parameters that tell what is compared with what."""
    return {
        "vector": nearest.vector,
        "model_id": nearest.model_id,
        "model_version": nearest.model_version,
        "row_limit": nearest.limit,
        "excluded": nearest.excluded,
        **filter_sql.parameters(nearest.trace_filter),
    }


def place(neighbour: Neighbour) -> tuple[float, UUID]:
    """Returns the key that neighbours are sorted by."""
    # The index's relaxed order is nearly right; ids make ties repeatable.
    return neighbour.distance, neighbour.trace_id
