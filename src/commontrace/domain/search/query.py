"""Search request: query, limits, ranking, and the reasons why its results end."""

from dataclasses import dataclass, field
from enum import Enum
from uuid import UUID

from commontrace.domain import limits
from commontrace.domain.search.neighbours import ResumePoint
from commontrace.domain.search.rankings import Ranking
from commontrace.domain.traces.trace_filter import TraceFilter
from commontrace.embeddings.embedder import Vector
from commontrace.embeddings.model import Model

# Candidates that the HNSW index keeps for each hit (`hnsw.ef_search`). With 64 as the least, recall@10 on 20,000 traces
# of 1536 dimensions lies between the .94 of 40 and the .98 of 100.
_EF_PER_HIT = 2
_EF_MINIMUM = 64


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class QueryVector:
    """Query vector of shape (dimensions,) and any norm but 0, with the model id that its sender states."""

    vector: Vector
    model_id: str

    def made_by(self, model: Model) -> bool:
        """Tells whether it can be compared with vectors of the model."""
        return (self.model_id, len(self.vector)) == (model.model_id, model.dimensions)


Query = str | UUID | QueryVector
"""A text, the id of a trace, or a vector."""


class StopReason(Enum):
    """Reason why no further hit follows."""

    LIMIT = "limit"
    EXHAUSTED = "exhausted"
    MIN_SIMILARITY = "min_similarity"
    SCAN_BUDGET = "scan_budget"
    MIN_PROBABILITY = "min_probability"


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """Request for up to `limit` traces like the query. `ef_search` 0 leaves the number of candidates to the server.

    Without a filter, every live trace is searched that no other supersedes.
    `min_probability` is the answer probability below which the search has no hits; anything but 0 needs a text.
    `fetches_full` fetches the hits' traces in the same round trip, True with context and solution; None leaves them to
    later batches.
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
    min_probability: float = 0.0


def candidates_for(limit: int) -> int:
    """Returns how many candidates the HNSW index keeps for a limit, unless the caller says otherwise."""
    return min(max(_EF_PER_HIT * limit, _EF_MINIMUM), limits.SEARCH_CANDIDATES)
