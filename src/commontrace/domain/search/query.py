"""What searches ask and answer."""

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING
from uuid import UUID

from commontrace.domain import limits
from commontrace.domain.search.rankings import Explanation, Ranking
from commontrace.domain.search.resumption import ApproximatePart, ResumePoint
from commontrace.domain.traces.trace_filter import ResolvedFilter, TraceFilter
from commontrace.embeddings.embedder import Vector

if TYPE_CHECKING:
    from commontrace.storage.trace_repository import TraceRow
    from commontrace.storage.trace_search import Neighbour

# Candidates the index keeps for every hit asked for. With 64 as the least, recall@10 on 20,000 traces of 1536
# dimensions lies between the .94 of 40 and the .98 of 100.
_EF_PER_HIT = 2
_EF_MINIMUM = 64

Query = str | UUID | Vector
"""What to look for: a text, a trace's id, or a vector of shape (dimensions,) and any length but 0."""


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
    considered: TraceFilter = field(default_factory=TraceFilter)
    min_similarity: float = -1.0
    exact: bool = False
    ef_search: int = 0
    fetches_full: bool | None = None
    resumed_at: ResumePoint | None = None
    ranking: Ranking = Ranking.COSINE


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The hits by (distance, id). `exact` tells whether every trace was compared.

    `approximate` is what streams have sent of an approximate pass, this one included. `model_id` made the vectors.
    `traces` are those of the hits, by id, if they were fetched with them.
    """

    neighbours: "list[Neighbour]"
    stop_reason: StopReason
    exact: bool
    considered: ResolvedFilter
    model_id: str
    approximate: ApproximatePart | None = None
    traces: "dict[UUID, TraceRow] | None" = None

    def point_behind(self, neighbour: "Neighbour") -> ResumePoint | None:
        """Returns where a stream continues of which this was the last hit, None where nothing can follow."""
        if self.exact:
            return ResumePoint(approximate=self.approximate, last=neighbour)
        return ResumePoint(approximate=self.approximate and replace(self.approximate, last=neighbour))

    def explanation(self, neighbour: "Neighbour") -> Explanation:
        """Returns why the hit is where it is."""
        return Explanation(score=similarity(neighbour))


def candidates_for(limit: int) -> int:
    """Returns how many the approximate index keeps for so many hits, unless the caller says otherwise."""
    return min(max(_EF_PER_HIT * limit, _EF_MINIMUM), limits.SEARCH_CANDIDATES)


def similarity(neighbour: "Neighbour") -> float:
    """Returns the cosine similarity, within -1..1."""
    return min(max(1.0 - neighbour.distance, -1.0), 1.0)
