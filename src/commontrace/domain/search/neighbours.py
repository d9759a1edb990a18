"""Nearest neighbours: a result, the query that asks for them, and the resume point of a stream of them."""

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.embeddings.embedder import Vector


class Neighbour(NamedTuple):
    """A trace and its cosine distance to the query, 1 - cosine similarity, within 0..2."""

    trace_id: UUID
    distance: float

    @property
    def similarity(self) -> float:
        """The cosine similarity, within -1..1."""
        return min(max(1.0 - self.distance, -1.0), 1.0)

    @property
    def sort_key(self) -> tuple[float, UUID]:
        """(distance, id), the order of hits: ids make the order of equal distances repeatable."""
        return self.distance, self.trace_id


@dataclass(frozen=True, kw_only=True, slots=True)
class NeighbourQuery:
    """Query for the `limit` traces nearest to a vector of shape (dimensions,).

    Candidates are the live traces with a vector of the same model, which pass the filter. The trace
    `excluded_id` is left out: a trace is not among its own neighbours.
    """

    vector: Vector
    model_id: str
    model_version: str
    limit: int
    trace_filter: ResolvedFilter
    excluded_id: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ApproximateStep:
    """Record of the approximate search that a stream began with: its hits up to `last` by (distance, id) were sent.

    On unchanged data, a search with the same `limit` and `ef_search` finds the same hits again. `ef_search` 0 stands
    for binary quantization instead of the vector index.
    """

    limit: int
    ef_search: int
    last: Neighbour

    def sent_of(self, neighbours: list[Neighbour]) -> list[UUID]:
        """Returns the traces that were sent, of those that the repeated search finds."""
        return [neighbour.trace_id for neighbour in neighbours if neighbour.sort_key <= self.last.sort_key]


@dataclass(frozen=True, kw_only=True, slots=True)
class ResumePoint:
    """Resume point of a search: what its streams have sent so far.

    By similarity: hits of an approximate search, then those of exact searches over all other traces, up to `last`.
    In any other ranking: the first `rank` hits of the list.
    """

    approximate: ApproximateStep | None = None
    last: Neighbour | None = None
    rank: int = 0
