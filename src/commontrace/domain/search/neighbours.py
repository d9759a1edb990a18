"""What a vector is compared with."""

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.embeddings.embedder import Vector


class Neighbour(NamedTuple):
    """A trace and its cosine distance, 1 - cosine similarity, within 0..2."""

    trace_id: UUID
    distance: float


@dataclass(frozen=True, kw_only=True, slots=True)
class NeighbourQuery:
    """Asks for the `limit` traces nearest to a vector of shape (dimensions,), among live ones of the vector's model.

    Without a filter, every one of them is considered, but for the `excluded`.
    """

    vector: Vector
    model_id: str
    model_version: str
    limit: int
    trace_filter: ResolvedFilter | None = None
    excluded: UUID | None = None
