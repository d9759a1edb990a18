"""Nearest neighbours of a vector among the live traces of one embedding model."""

from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Integer, Select, String, Uuid, bindparam, func, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.embeddings.embedder import Vector
from commontrace.storage.models import Trace
from commontrace.storage.vector_type import VectorType

_DISTANCE = Trace.embedding.cosine_distance(bindparam("vector", type_=VectorType()))

# Made once: putting a statement together costs more than running it.
_CANDIDATES = (
    select(Trace.id, _DISTANCE.label("distance"))
    .where(
        Trace.deleted_at.is_(None),
        Trace.embedding_model_id == bindparam("model_id", type_=String),
        Trace.id.is_distinct_from(bindparam("excluded", type_=Uuid)),
    )
    .limit(bindparam("row_limit", type_=Integer))
)

# Set by the statement for itself: no transaction to open, nothing left behind on the connection.
_EF_SEARCH_IS_SET = (
    select(func.set_config("hnsw.ef_search", bindparam("ef_search", type_=String), true()))
    .scalar_subquery()
    .is_not(None)
)

APPROXIMATE: Select[Any] = _CANDIDATES.where(_EF_SEARCH_IS_SET).order_by(_DISTANCE)
"""What `TraceSearch.approximate` runs; plan tests explain it."""

# `+ 0` keeps the vector index, which is approximate, out of the plan.
_EXACT: Select[Any] = _CANDIDATES.order_by(_DISTANCE + 0, Trace.id)


class Neighbour(NamedTuple):
    """A trace and its cosine distance, 1 - cosine similarity, within 0..2."""

    trace_id: UUID
    distance: float


class TraceSearch:
    """Finds ids only: rows are fetched for those that are returned, not for all that were considered."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Takes a connection of `Database.search` for `approximate`, of `Database.read` for `exact`."""
        self._connection = connection

    async def approximate(
        self, vector: Vector, *, model_id: str, limit: int, ef_search: int, excluded: UUID | None = None
    ) -> list[Neighbour]:
        """Returns up to `limit` neighbours by (distance, id) as the HNSW index finds them.

        `ef_search` (1..1000) is the number of candidates the index keeps. May miss traces, and return fewer than exist.
        """
        parameters = approximate_parameters(
            vector, model_id=model_id, limit=limit, ef_search=ef_search, excluded=excluded
        )
        found = [Neighbour._make(row) for row in await self._connection.execute(APPROXIMATE, parameters)]
        # The index's relaxed order is nearly right; ids make ties repeatable.
        return sorted(found, key=lambda neighbour: (neighbour.distance, neighbour.trace_id))

    async def exact(
        self, vector: Vector, *, model_id: str, limit: int, excluded: UUID | None = None
    ) -> list[Neighbour]:
        """Returns the `limit` nearest by (distance, id), having compared every trace."""
        parameters = {"vector": vector, "model_id": model_id, "row_limit": limit, "excluded": excluded}
        return [Neighbour._make(row) for row in await self._connection.execute(_EXACT, parameters)]


def approximate_parameters(
    vector: Vector, *, model_id: str, limit: int, ef_search: int, excluded: UUID | None
) -> dict[str, Any]:
    """Returns the parameters of APPROXIMATE."""
    return {
        "vector": vector,
        "model_id": model_id,
        "row_limit": limit,
        "ef_search": str(ef_search),
        "excluded": excluded,
    }
