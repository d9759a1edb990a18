"""The hits of a search, fetched as they are sent: no connection is held while a reader reads."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from uuid import UUID

from commontrace.core.search.result import SearchResult
from commontrace.domain.deadline import Deadline
from commontrace.domain.errors import DeadlinePassed
from commontrace.domain.search.neighbours import Neighbour
from commontrace.domain.search.query import StopReason, similarity
from commontrace.storage.database import Database, ReadOperation
from commontrace.storage.traces.repository import TraceRow

# However many hits come in one message: whole traces can have 400 KB each, and each of many readers waits for some.
_FULL_ROWS_AT_ONCE = 16
_BASIC_ROWS_AT_ONCE = 160


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """A trace found."""

    trace: TraceRow
    neighbour: Neighbour

    @property
    def similarity(self) -> float:
        """The cosine similarity to the query, within -1..1."""
        return similarity(self.neighbour)


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Some hits, most similar first.

    `last` is the last neighbour of the batch, be it still a hit or among the `dropped_count` that no longer were;
    None in an empty batch. `is_complete` tells whether as many were tried as are to come in one message, or all.
    `stop_reason` is set in the last batch of a stream, and only there.
    """

    hits: list[Hit]
    is_complete: bool = True
    dropped_count: int = 0
    last: Neighbour | None = None
    stop_reason: StopReason | None = None


async def batches(
    found: SearchResult, size: int, *, full: bool, deadline: Deadline, database: Database
) -> AsyncGenerator[Batch]:
    """Yields the hits by `size`, or in parts of that, one batch at least; the reader may empty what it gets.

    The deadline cuts the stream short with SCAN_BUDGET. Raises DeadlinePassed where no hits are fetched by then.
    """
    count, rows_at_once = len(found.neighbours), _FULL_ROWS_AT_ONCE if full else _BASIC_ROWS_AT_ONCE
    if not count:
        yield Batch(hits=[], stop_reason=found.stop_reason)
    for start in range(0, count, size):
        end = min(start + size, count)
        for first in range(start, end, rows_at_once):
            behind = min(first + rows_at_once, end)
            try:
                hits = await _fetched(found, slice(first, behind), full=full, deadline=deadline, database=database)
            except TimeoutError:
                if not first:
                    # Without any of them, it would read as if there were none.
                    raise DeadlinePassed("the deadline left no time to send what was found: allow more") from None
                yield Batch(hits=[], stop_reason=StopReason.SCAN_BUDGET)
                return
            yield Batch(
                hits=hits,
                is_complete=behind == end,
                dropped_count=behind - first - len(hits),
                last=found.neighbours[behind - 1],
                stop_reason=found.stop_reason if behind == count else None,
            )


async def _fetched(
    found: SearchResult, which: slice, *, full: bool, deadline: Deadline, database: Database
) -> list[Hit]:
    """Returns those that are still hits. Raises TimeoutError."""
    wanted, traces = found.neighbours[which], found.traces
    if traces is None:
        # The connection is back in its pool before anything is yielded to a reader who may be slow.
        async with deadline.limit():
            traces = await database.read(_rows_of(wanted, found, full=full), trace_filter=found.trace_filter)
    return [
        Hit(trace=traces[neighbour.trace_id], neighbour=neighbour)
        for neighbour in wanted
        if neighbour.trace_id in traces
    ]


def _rows_of(wanted: list[Neighbour], found: SearchResult, *, full: bool) -> ReadOperation[dict[UUID, TraceRow]]:
    ids = [neighbour.trace_id for neighbour in wanted]
    return lambda reading: reading.traces.get_many(ids, full=full, trace_filter=found.trace_filter)
