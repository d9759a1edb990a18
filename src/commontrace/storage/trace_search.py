"""Nearest neighbours of a vector among the live traces of one embedding model."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Double,
    Integer,
    Select,
    String,
    Uuid,
    bindparam,
    func,
    select,
    true,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.core.trace_filter import ResolvedFilter
from commontrace.embeddings.embedder import Vector
from commontrace.storage import trace_filter
from commontrace.storage.models import Trace
from commontrace.storage.vector_type import VectorType

_DISTANCE = Trace.embedding.cosine_distance(bindparam("vector", type_=VectorType()))
# `+ 0` keeps the vector index, which is approximate, out of the plan.
_EXACT_DISTANCE = (_DISTANCE + 0).label("distance")

_CONSIDERED = (
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
_BEHIND = tuple_(_DISTANCE, Trace.id) > tuple_(
    bindparam("behind_distance", type_=Double), bindparam("behind_id", type_=Uuid)
)


class Neighbour(NamedTuple):
    """A trace and its cosine distance, 1 - cosine similarity, within 0..2."""

    trace_id: UUID
    distance: float


_BEFORE_ALL = Neighbour(UUID(int=0), -1.0)


# Statements are made once: putting one together costs more than running it.
@lru_cache(maxsize=256)
def approximate_statement(kinds: trace_filter.Kinds) -> Select[Any]:
    """Returns what `TraceSearch.approximate` runs for filters of these kinds; plan tests explain it."""
    return (
        select(Trace.id, _DISTANCE.label("distance"))
        .where(*_CONSIDERED, *trace_filter.conditions(kinds), _EF_SEARCH_IS_SET)
        .order_by(_DISTANCE)
        .limit(bindparam("row_limit", type_=Integer))
    )


@lru_cache(maxsize=256)
def _exact_statement(kinds: trace_filter.Kinds, *, is_continued: bool) -> Select[Any]:
    remaining = (_NOT_SENT, _BEHIND) if is_continued else ()
    return (
        select(Trace.id, _EXACT_DISTANCE)
        .where(*_CONSIDERED, *trace_filter.conditions(kinds), *remaining)
        .order_by(_EXACT_DISTANCE, Trace.id)
        .limit(bindparam("row_limit", type_=Integer))
    )


class TraceSearch:
    """Finds ids only: rows are fetched for those that are returned, not for all that were considered.

    Without a filter, every live trace of the model is considered.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        """Takes a connection of `Database.search` for `approximate`, of `Database.read` for `exact`."""
        self._connection = connection

    async def approximate(
        self,
        vector: Vector,
        *,
        model_id: str,
        model_version: str,
        limit: int,
        ef_search: int,
        considered: ResolvedFilter | None = None,
        excluded: UUID | None = None,
    ) -> list[Neighbour]:
        """Returns up to `limit` neighbours by (distance, id) as the HNSW index finds them.

        `ef_search` (1..1000) is the number of candidates the index keeps. May miss traces, and return fewer than exist.
        Raises ModelReplaced where vectors of the model are of another length.
        """
        statement = approximate_statement(trace_filter.kinds_of(considered))
        parameters = approximate_parameters(
            vector,
            model_id=model_id,
            model_version=model_version,
            limit=limit,
            ef_search=ef_search,
            considered=considered,
            excluded=excluded,
        )
        found = [Neighbour._make(row) for row in await self._connection.execute(statement, parameters)]
        # The index's relaxed order is nearly right; ids make ties repeatable.
        return sorted(found, key=lambda neighbour: (neighbour.distance, neighbour.trace_id))

    async def exact(
        self,
        vector: Vector,
        *,
        model_id: str,
        model_version: str,
        limit: int,
        considered: ResolvedFilter | None = None,
        excluded: UUID | None = None,
        besides: Sequence[UUID] = (),
        behind: Neighbour | None = None,
    ) -> list[Neighbour]:
        """Returns the `limit` nearest by (distance, id), having compared every trace.

        Leaves out those in `besides`, and of the others everything up to `behind`. Raises ModelReplaced likewise.
        """
        is_continued = bool(besides) or behind is not None
        parameters = _parameters(vector, (model_id, model_version), limit, considered, excluded)
        if is_continued:
            behind_id, behind_distance = behind or _BEFORE_ALL
            parameters |= {"besides": list(besides), "behind_distance": behind_distance, "behind_id": behind_id}
        statement = _exact_statement(trace_filter.kinds_of(considered), is_continued=is_continued)
        return [Neighbour._make(row) for row in await self._connection.execute(statement, parameters)]


def approximate_parameters(
    vector: Vector,
    *,
    model_id: str,
    model_version: str,
    limit: int,
    ef_search: int,
    considered: ResolvedFilter | None = None,
    excluded: UUID | None = None,
) -> dict[str, Any]:
    """Returns the parameters of the approximate statement."""
    return _parameters(vector, (model_id, model_version), limit, considered, excluded) | {"ef_search": str(ef_search)}


def _parameters(
    vector: Vector, model: tuple[str, str], limit: int, considered: ResolvedFilter | None, excluded: UUID | None
) -> dict[str, Any]:
    return {
        "vector": vector,
        "model_id": model[0],
        "model_version": model[1],
        "row_limit": limit,
        "excluded": excluded,
        **trace_filter.parameters(considered),
    }
