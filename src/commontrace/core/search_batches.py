"""The hits of a search, fetched as they are sent: no connection is held while a reader reads."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from commontrace.core.deadline import Deadline
from commontrace.core.search import Found, StopReason, similarity

if TYPE_CHECKING:
    from commontrace.storage.database import Database, Question
    from commontrace.storage.trace_repository import TraceRow
    from commontrace.storage.trace_search import Neighbour


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """A trace found."""

    trace: "TraceRow"
    neighbour: "Neighbour"

    @property
    def similarity(self) -> float:
        """The cosine similarity to the query, within -1..1."""
        return similarity(self.neighbour)


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Some hits, most similar first.

    `last` is the last neighbour of the batch, be it still a hit or among the `dropped_count` that no longer were;
    None in an empty batch. `stop_reason` is set in the last batch of a stream, and only there.
    """

    hits: list[Hit]
    dropped_count: int = 0
    last: "Neighbour | None" = None
    stop_reason: StopReason | None = None


async def batches(
    found: Found, size: int, *, full: bool, deadline: Deadline, database: "Database"
) -> AsyncGenerator[Batch]:
    """Yields the hits by `size`, one batch at least; the deadline cuts the stream short with SCAN_BUDGET."""
    neighbours = found.neighbours
    if not neighbours:
        yield Batch(hits=[], stop_reason=found.stop_reason)
    for start in range(0, len(neighbours), size):
        wanted = neighbours[start : start + size]
        try:
            # The connection is back in its pool before anything is yielded to a reader who may be slow.
            async with deadline.limit():
                traces = found.traces
                if traces is None:
                    traces = await database.read(_rows_of(wanted, found, full=full))
        except TimeoutError:
            yield Batch(hits=[], stop_reason=StopReason.SCAN_BUDGET)
            return
        hits = [
            Hit(trace=traces[neighbour.trace_id], neighbour=neighbour)
            for neighbour in wanted
            if neighbour.trace_id in traces
        ]
        yield Batch(
            hits=hits,
            dropped_count=len(wanted) - len(hits),
            last=wanted[-1],
            stop_reason=found.stop_reason if start + size >= len(neighbours) else None,
        )


def _rows_of(wanted: "list[Neighbour]", found: Found, *, full: bool) -> "Question[dict[UUID, TraceRow]]":
    ids = [neighbour.trace_id for neighbour in wanted]
    return lambda reading: reading.traces.get_many(ids, full=full, considered=found.considered)
