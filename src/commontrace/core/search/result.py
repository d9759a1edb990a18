"""What searches answer."""

from dataclasses import dataclass, replace
from uuid import UUID

from commontrace.domain.search.neighbours import Neighbour
from commontrace.domain.search.query import StopReason, similarity
from commontrace.domain.search.rankings import Explanation
from commontrace.domain.search.resumption import ApproximatePart, ResumePoint
from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.storage.traces.repository import TraceRow


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """The hits by (distance, id). `exact` tells whether every trace was compared.

    `approximate` is what streams have sent of an approximate pass, this one included. `model_id` made the vectors.
    `traces` are those of the hits, by id, if they were fetched with them.
    """

    neighbours: list[Neighbour]
    stop_reason: StopReason
    exact: bool
    trace_filter: ResolvedFilter
    model_id: str
    approximate: ApproximatePart | None = None
    traces: dict[UUID, TraceRow] | None = None

    def point_behind(self, neighbour: Neighbour) -> ResumePoint | None:
        """Returns where a stream continues of which this was the last hit, None where nothing can follow."""
        if self.exact:
            return ResumePoint(approximate=self.approximate, last=neighbour)
        return ResumePoint(approximate=self.approximate and replace(self.approximate, last=neighbour))

    def explanation(self, neighbour: Neighbour) -> Explanation:
        """Returns why the hit is where it is."""
        return Explanation(score=similarity(neighbour))
