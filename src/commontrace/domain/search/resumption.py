"""Where a search stream ended, so that another can hold everything else."""

from dataclasses import dataclass
from uuid import UUID

from commontrace.domain.search.neighbours import Neighbour


@dataclass(frozen=True, kw_only=True, slots=True)
class ApproximatePart:
    """What the stream before all others sent of an approximate pass: everything up to `last` by (distance, id).

    On unchanged data, a pass with the same `limit` and `ef_search` finds the same again; 0 stands for one by signs.
    """

    limit: int
    ef_search: int
    last: Neighbour

    def of(self, neighbours: list[Neighbour]) -> list[UUID]:
        """Returns the traces that were sent, of those that the pass finds."""
        last = (self.last.distance, self.last.trace_id)
        return [trace_id for trace_id, distance in neighbours if (distance, trace_id) <= last]


@dataclass(frozen=True, kw_only=True, slots=True)
class ResumePoint:
    """What streams have sent together: a part of an approximate pass, then exact passes over the rest up to `last`.

    Of an order other than that of similarity: everything up to a `place`.
    """

    approximate: ApproximatePart | None = None
    last: Neighbour | None = None
    place: int = 0
