"""Nearest neighbours of a vector among the live traces of one embedding model."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.embeddings.embedder import Vector
from commontrace.storage.models import Trace


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
        return await self._neighbours(
            approximate_statement(vector, model_id=model_id, limit=limit, ef_search=ef_search, excluded=excluded)
        )

    async def exact(
        self, vector: Vector, *, model_id: str, limit: int, excluded: UUID | None = None
    ) -> list[Neighbour]:
        """Returns the `limit` nearest by (distance, id), having compared every trace."""
        distance = Trace.embedding.cosine_distance(vector)
        # `+ 0` keeps the vector index, which is approximate, out of the plan.
        nearest = _candidates(distance, model_id, excluded).order_by(distance + 0, Trace.id).limit(limit)
        return await self._neighbours(nearest)

    async def _neighbours(self, statement: Select[UUID, float]) -> list[Neighbour]:
        found = [Neighbour._make(row) for row in await self._connection.execute(statement)]
        # The index's relaxed order is nearly right; ids make ties repeatable.
        return sorted(found, key=lambda neighbour: (neighbour.distance, neighbour.trace_id))


def approximate_statement(
    vector: Vector, *, model_id: str, limit: int, ef_search: int, excluded: UUID | None
) -> Select[UUID, float]:
    """Returns the statement of `TraceSearch.approximate`, which plan tests explain."""
    distance = Trace.embedding.cosine_distance(vector)
    # Set by the statement for itself: no transaction to open, nothing left behind on the connection.
    ef_is_set = select(func.set_config("hnsw.ef_search", str(ef_search), true())).scalar_subquery().is_not(None)
    return _candidates(distance, model_id, excluded).where(ef_is_set).order_by(distance).limit(limit)


def _candidates(distance: ColumnElement[float], model_id: str, excluded: UUID | None) -> Select[UUID, float]:
    candidates = select(Trace.id, distance.label("distance")).where(
        Trace.deleted_at.is_(None), Trace.embedding_model_id == model_id
    )
    return candidates if excluded is None else candidates.where(Trace.id != excluded)
