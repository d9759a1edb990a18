"""Search result, and its hits in batches: no connection is held while a reader reads."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from uuid import UUID

from commontrace.domain.deadline import Deadline
from commontrace.domain.errors import DeadlinePassed
from commontrace.domain.search.neighbours import ApproximateStep, Neighbour, ResumePoint
from commontrace.domain.search.query import StopReason
from commontrace.domain.search.rankings import Explanation
from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.storage.database import Database
from commontrace.storage.traces.repository import TraceRow

# Rows of one statement, however many hits a message takes: a whole trace has up to 400 KB, and the rows of a statement
# stay in memory for each slow reader.
_FULL_ROWS_AT_ONCE = 16
_BASIC_ROWS_AT_ONCE = 160


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """Result of a search: neighbours in the order of the ranking; for cosine similarity, ascending (distance, id).

    `exact` is True if the query was compared with every trace. `approximate` is the approximate step, None without one.
    `model_id` is the model of the vectors. `traces` are those of the neighbours by id, if they were fetched in the same
    round trip. `best_similarity` is the highest of the traces compared, less similar ones than the least included; None
    without any. `near_miss_count` of them were less similar than that. `pending_count` traces wait for their vector,
    None where they were not counted. `answer_probability` is None where nothing is known of it.
    """

    neighbours: list[Neighbour]
    stop_reason: StopReason
    exact: bool
    trace_filter: ResolvedFilter
    model_id: str
    best_similarity: float | None = None
    near_miss_count: int = 0
    pending_count: int | None = None
    answer_probability: float | None = None
    approximate: ApproximateStep | None = None
    traces: dict[UUID, TraceRow] | None = None

    def resume_point(self, neighbour: Neighbour) -> ResumePoint | None:
        """Returns where a stream resumes whose last hit was this one, None where nothing can follow."""
        if self.exact:
            return ResumePoint(approximate=self.approximate, last=neighbour)
        return ResumePoint(approximate=self.approximate and replace(self.approximate, last=neighbour))

    def explanation(self, neighbour: Neighbour) -> Explanation:
        """Returns the hit's score and its parts."""
        return Explanation(score=neighbour.similarity)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """Hit of a search: a neighbour and its trace."""

    trace: TraceRow
    neighbour: Neighbour


@dataclass(frozen=True, kw_only=True, slots=True)
class HitBatch:
    """Batch of hits in the order of the ranking.

    `is_complete` says that the batch ends a message. `dropped_count` neighbours were no hits any more when they were
    fetched. `last` is the last neighbour of the batch, dropped or not; None in an empty batch. `stop_reason` is set in
    the last batch of a stream, and only there.
    """

    hits: list[Hit]
    is_complete: bool = True
    dropped_count: int = 0
    last: Neighbour | None = None
    stop_reason: StopReason | None = None


async def fetch_batches(
    result: SearchResult, size: int, *, full: bool, deadline: Deadline, database: Database
) -> AsyncGenerator[HitBatch]:
    """Yields the hits, `size` for each message, in one batch or several; the caller may empty a batch's list.

    Yields at least one batch. The deadline ends the stream early with SCAN_BUDGET. Raises DeadlinePassed where it
    leaves no time for any hit.
    """
    count, rows_at_once = len(result.neighbours), _FULL_ROWS_AT_ONCE if full else _BASIC_ROWS_AT_ONCE
    if not count:
        yield HitBatch(hits=[], stop_reason=result.stop_reason)
    for start in range(0, count, size):
        end = min(start + size, count)
        for first in range(start, end, rows_at_once):
            after = min(first + rows_at_once, end)
            neighbours = result.neighbours[first:after]
            try:
                hits = await _fetch_hits(neighbours, result, full=full, deadline=deadline, database=database)
            except TimeoutError:
                if not first:
                    # A stream without hits reads as if nothing were similar (ADR 0045).
                    raise DeadlinePassed("the deadline left no time to send what was found: allow more") from None
                yield HitBatch(hits=[], stop_reason=StopReason.SCAN_BUDGET)
                return
            yield HitBatch(
                hits=hits,
                is_complete=after == end,
                dropped_count=len(neighbours) - len(hits),
                last=neighbours[-1],
                stop_reason=result.stop_reason if after == count else None,
            )


async def _fetch_hits(
    neighbours: list[Neighbour], result: SearchResult, *, full: bool, deadline: Deadline, database: Database
) -> list[Hit]:
    """Returns the hits of those neighbours whose traces are live and still pass the filter. Raises TimeoutError."""
    traces = result.traces
    if traces is None:
        ids = [neighbour.trace_id for neighbour in neighbours]
        # The connection is back in its pool before a slow reader gets any hit.
        async with deadline.limit():
            traces = await database.read(
                lambda reading: reading.traces.get_many(ids, result.trace_filter, full=full),
                trace_filter=result.trace_filter,
            )
    return [
        Hit(trace=traces[neighbour.trace_id], neighbour=neighbour)
        for neighbour in neighbours
        if neighbour.trace_id in traces
    ]
