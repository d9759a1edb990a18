"""Recount: derives counts, trust score and status of all traces from their votes anew (ADR 0009)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from commontrace.core.votes.service import apply_tally
from commontrace.domain.traces.contribution import PENDING, VALIDATED
from commontrace.domain.votes.trust import Tally
from commontrace.storage.database import Database

# Traces locked at once, whose voters wait.
_BATCH = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Recounted:
    """Numbers of traces recounted, of those with wrong counts or trust score, and of changes of status."""

    traces: int = 0
    corrected: int = 0
    promoted: int = 0
    demoted: int = 0


async def recount(
    database: Database, *, validation_threshold: int, on_progress: Callable[[int, int], None] | None = None
) -> Recounted:
    """Updates every trace, deleted or not, to the standing that follows from its votes. Votes may be cast meanwhile.

    `on_progress` gets the number of traces done after each batch, and that of all at the start.
    """
    batches: list[Recounted] = []
    last, done = None, 0
    total = await database.read(lambda reading: reading.votes.count_traces()) if on_progress else 0
    while trace_ids := await _next_batch(last, database):
        batches.append(await _recount(trace_ids, database, validation_threshold=validation_threshold))
        last = trace_ids[-1]
        done += batches[-1].traces
        if on_progress:
            on_progress(done, total)
    return Recounted(
        traces=done,
        corrected=sum(batch.corrected for batch in batches),
        promoted=sum(batch.promoted for batch in batches),
        demoted=sum(batch.demoted for batch in batches),
    )


async def _next_batch(last: UUID | None, database: Database) -> Sequence[UUID]:
    return await database.read(lambda reading: reading.votes.list_trace_ids(after=last, size=_BATCH))


async def _recount(trace_ids: Sequence[UUID], database: Database, *, validation_threshold: int) -> Recounted:
    corrected = 0
    changes_of_status: list[tuple[str, str]] = []
    async with database.unit_of_work() as work:
        locked = await work.trace_changes.lock_anywhere(trace_ids)
        tallies = await work.votes.count_votes_of_locked(list(locked))
        for trace in locked.values():
            tally = tallies.get(trace.id, Tally())
            due = await apply_tally(trace, tally, work, validation_threshold=validation_threshold)
            counts = (due.confirmation_count, due.down_count, due.trust_score)
            corrected += counts != (trace.confirmation_count, trace.down_count, trace.trust_score)
            changes_of_status.append((trace.status, due.status))
    return Recounted(
        traces=len(locked),
        corrected=corrected,
        promoted=changes_of_status.count((PENDING, VALIDATED)),
        demoted=changes_of_status.count((VALIDATED, PENDING)),
    )
