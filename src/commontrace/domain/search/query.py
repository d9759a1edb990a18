"""What searches ask."""

from dataclasses import dataclass, field
from enum import Enum
from uuid import UUID

from commontrace.domain import limits
from commontrace.domain.search.neighbours import Neighbour
from commontrace.domain.search.rankings import Ranking
from commontrace.domain.search.resumption import ResumePoint
from commontrace.domain.traces.trace_filter import TraceFilter
from commontrace.embeddings.embedder import Vector
from commontrace.embeddings.model import Model

# Candidates the index keeps for every hit asked for. With 64 as the least, recall@10 on 20,000 traces of 1536
# dimensions lies between the .94 of 40 and the .98 of 100.
_EF_PER_HIT = 2
_EF_MINIMUM = 64


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class QueryVector:
    """A vector of shape (dimensions,) and any length but 0, and the model that its sender says has made it."""

    vector: Vector
    model_id: str

    def made_by(self, model: Model) -> bool:
        """Tells whether it can be compared with vectors of the model."""
        return (self.model_id, len(self.vector)) == (model.model_id, model.dimensions)


Query = str | UUID | QueryVector
"""What to look for: a text, a trace's id, or a vector."""


class StopReason(Enum):
    """Why no further hit follows."""

    LIMIT = "limit"
    EXHAUSTED = "exhausted"
    MIN_SIMILARITY = "min_similarity"
    SCAN_BUDGET = "scan_budget"


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """What is asked for. `ef_search` 0 leaves the number of candidates to the server.

    `fetches_full` asks for the hits' traces in the same round trip, True for whole ones; None leaves them to batches.
    """

    query: Query
    limit: int
    trace_filter: TraceFilter = field(default_factory=TraceFilter)
    min_similarity: float = -1.0
    exact: bool = False
    ef_search: int = 0
    fetches_full: bool | None = None
    resumed_at: ResumePoint | None = None
    ranking: Ranking = Ranking.COSINE


def candidates_for(limit: int) -> int:
    """Returns how many the approximate index keeps for so many hits, unless the caller says otherwise."""
    return min(max(_EF_PER_HIT * limit, _EF_MINIMUM), limits.SEARCH_CANDIDATES)


def similarity(neighbour: Neighbour) -> float:
    """Returns the cosine similarity, within -1..1."""
    return min(max(1.0 - neighbour.distance, -1.0), 1.0)
