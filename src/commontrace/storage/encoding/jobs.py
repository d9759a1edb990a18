"""Which traces wait for their vector: a queue that several workers take from."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Float, String, Uuid, any_, bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from commontrace.settings import LONGEST_DELAY_SECONDS
from commontrace.storage.models import EncodingJob, Trace
from commontrace.storage.stored_times import is_ahead


class ClaimedJob(NamedTuple):
    """A job that is this worker's until `due_at`; `attempts` counts this one. All of one claim have one `due_at`."""

    trace_id: UUID
    attempts: int
    due_at: datetime


class QueueState(NamedTuple):
    """How many traces wait for their vector, for how many seconds the first, and how many were given up."""

    waiting: int
    oldest_seconds: float
    given_up: int


class WaitingTrace(NamedTuple):
    """What is encoded of a trace, deleted or not, and which model made its vector, None without one."""

    id: UUID
    revision: int
    title: str
    context_text: str
    solution_text: str
    embedding_model_id: str | None
    embedding_model_version: str | None


# Made once: putting a statement together costs more than running it.
_ADD = insert(EncodingJob.__table__)
_ADD = _ADD.on_conflict_do_update(
    index_elements=[EncodingJob.trace_id],
    set_={"attempts": 0, "due_at": func.now(), "last_error": "", "given_up_at": None},
)

_LONGEST = f"interval '{LONGEST_DELAY_SECONDS} seconds'"
# What was tried before, and failed or ended with its worker, is taken alone: it may be what ends workers.
_CLAIM = text(
    f"""
    WITH due AS (
        SELECT trace_id, attempts, due_at FROM encoding_jobs
        WHERE given_up_at IS NULL
            AND (due_at <= now() OR {is_ahead("due_at", _LONGEST)} OR {is_ahead("created_at")})
        ORDER BY due_at LIMIT :batch
        FOR UPDATE SKIP LOCKED
    ), placed AS (
        SELECT trace_id, attempts, row_number() OVER (ORDER BY due_at, trace_id) AS place FROM due
    )
    UPDATE encoding_jobs AS job
    SET attempts = job.attempts + 1, due_at = now() + CAST(:lease AS double precision) * interval '1 second',
        created_at = LEAST(job.created_at, now())
    FROM placed
    WHERE job.trace_id = placed.trace_id
        AND (place = 1 OR (placed.attempts = 0 AND (SELECT attempts FROM placed WHERE place = 1) = 0))
    RETURNING job.trace_id, job.attempts, job.due_at"""  # noqa: S608 - of constants
)

_ANY_OF_THEM = any_(bindparam("trace_ids", type_=ARRAY(Uuid)))
# In one order, whoever changes several: nobody waits in a circle.
_LOCKED = select(EncodingJob.trace_id).where(EncodingJob.trace_id == _ANY_OF_THEM)
_IN_ORDER = _LOCKED.order_by(EncodingJob.trace_id).with_for_update()
# A claim that ran out, or whose trace was edited, has another time by now.
_STILL_CLAIMED = _LOCKED.where(EncodingJob.due_at == bindparam("claimed_until"))
_STILL_CLAIMED = _STILL_CLAIMED.order_by(EncodingJob.trace_id).with_for_update()

_REMOVE = delete(EncodingJob.__table__).where(EncodingJob.trace_id.in_(_IN_ORDER))
_REMOVE_CLAIMED = delete(EncodingJob.__table__).where(EncodingJob.trace_id.in_(_STILL_CLAIMED))
_RELEASE = (
    update(EncodingJob.__table__)
    .where(EncodingJob.trace_id.in_(_STILL_CLAIMED))
    .values(
        attempts=EncodingJob.attempts - 1,
        due_at=func.now(),
        last_error=func.coalesce(bindparam("why", type_=String), EncodingJob.last_error),
    )
)
_SECONDS = func.make_interval(0, 0, 0, 0, 0, 0, bindparam("seconds", type_=Float))
_PUT_OFF = (
    update(EncodingJob.__table__)
    .where(EncodingJob.trace_id.in_(_STILL_CLAIMED))
    .values(due_at=func.now() + _SECONDS, last_error=bindparam("why"))
)
_GIVE_UP = (
    update(EncodingJob.__table__)
    .where(EncodingJob.trace_id.in_(_STILL_CLAIMED))
    .values(given_up_at=func.now(), last_error=bindparam("why"))
)
_TEXTS = select(*(Trace.__table__.c[name] for name in WaitingTrace._fields)).where(Trace.id == _ANY_OF_THEM)

_COUNT_WAITING = select(func.count()).select_from(EncodingJob).where(EncodingJob.given_up_at.is_(None))
_STATE = text(
    """
    SELECT count(*) FILTER (WHERE given_up_at IS NULL) AS waiting,
        GREATEST(extract(epoch FROM now() - min(created_at) FILTER (WHERE given_up_at IS NULL)), 0)::float8
            AS oldest_seconds,
        count(given_up_at) AS given_up
    FROM encoding_jobs"""
)
_TAKE_UP_AGAIN = (
    update(EncodingJob.__table__)
    .where(EncodingJob.given_up_at.is_not(None))
    .values(attempts=0, due_at=func.now(), given_up_at=None)
)
# FOR KEY SHARE: a trace that is being purged is waited for, and left out. Without it, its job would be refused.
_ADD_MISSING = text(
    """
    WITH page AS (
        SELECT id, embedding_model_id, embedding_model_version FROM traces
        WHERE CAST(:after AS uuid) IS NULL OR id > :after ORDER BY id LIMIT :size
    ), missing AS (
        SELECT id FROM traces
        WHERE id IN (
            SELECT id FROM page
            WHERE (embedding_model_id, embedding_model_version) IS DISTINCT FROM (:model_id, :model_version))
        ORDER BY id FOR KEY SHARE
    ), added AS (
        INSERT INTO encoding_jobs (trace_id)
        SELECT id FROM missing
        ON CONFLICT DO NOTHING
        RETURNING trace_id
    )
    SELECT (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS last, (SELECT count(*) FROM added) AS added"""
)


class EncodingJobRepository:
    """The queue. Jobs are added in the transaction that leaves a trace without a vector."""

    def __init__(self, session: AsyncSession | AsyncConnection) -> None:
        """Takes where to ask; only a session can change anything."""
        self._session = session
        self.has_added = False
        """Whether there is something to do when the transaction commits."""

    async def add(self, trace_id: UUID) -> None:
        """Queues a trace that this transaction has inserted or locked, anew if it was queued or given up before."""
        await self._session.execute(_ADD, {"trace_id": trace_id})
        self.has_added = True

    async def remove(self, trace_ids: Collection[UUID]) -> None:
        """Drops the jobs of traces that this transaction has locked and given vectors."""
        await self._session.execute(_REMOVE, {"trace_ids": list(trace_ids)})

    async def claim(self, batch: int, *, lease_seconds: float) -> list[ClaimedJob]:
        """Takes up to so many due jobs, longest due first, for as long as the lease; others' are passed over.

        What was taken before comes alone.
        """
        rows = await self._session.execute(_CLAIM, {"batch": batch, "lease": lease_seconds})
        return [ClaimedJob._make(row) for row in rows]

    async def texts(self, trace_ids: Collection[UUID]) -> list[WaitingTrace]:
        """Returns what is to be encoded."""
        rows = await self._session.execute(_TEXTS, {"trace_ids": list(trace_ids)})
        return [WaitingTrace._make(row) for row in rows]

    async def count_waiting(self) -> int:
        """Returns how many traces wait, due or not, but for those that were given up."""
        return (await self._session.execute(_COUNT_WAITING)).scalar_one()

    async def state(self) -> QueueState:
        """Returns how long the queue is. Reads all of it: 10 ms for 10,000."""
        return QueueState._make((await self._session.execute(_STATE)).one())

    async def remove_claimed(self, jobs: Sequence[ClaimedJob]) -> None:
        """Drops jobs, but for those that are no longer of this claim."""
        await self._session.execute(_REMOVE_CLAIMED, _of(jobs))

    async def release(self, jobs: Sequence[ClaimedJob], why: str | None = None) -> None:
        """Makes jobs due as if they had not been claimed, but for those that are no longer of this claim."""
        await self._session.execute(_RELEASE, {**_of(jobs), "why": why})

    async def put_off(self, jobs: Sequence[ClaimedJob], seconds: float, why: str) -> None:
        """Makes jobs due in so many seconds, but for those that are no longer of this claim."""
        await self._session.execute(_PUT_OFF, {**_of(jobs), "seconds": seconds, "why": why})

    async def give_up(self, jobs: Sequence[ClaimedJob], why: str) -> None:
        """Makes jobs due no more, but for those that are no longer of this claim."""
        await self._session.execute(_GIVE_UP, {**_of(jobs), "why": why})

    async def take_up_again(self) -> int:
        """Makes due what was given up, with all its attempts, and returns how many."""
        self.has_added = True
        return (await self._session.execute(_TAKE_UP_AGAIN)).rowcount  # type: ignore[attr-defined, no-any-return] # an UPDATE's

    async def add_missing(
        self, *, model_id: str, model_version: str, after: UUID | None, size: int
    ) -> tuple[UUID | None, int]:
        """Queues those of the next `size` traces, by id, that have no vector of the model and no job.

        Returns the last trace looked at, None behind the last one, and how many were queued.
        """
        parameters = {"model_id": model_id, "model_version": model_version, "after": after, "size": size}
        [row] = await self._session.execute(_ADD_MISSING, parameters)
        self.has_added = True
        return row.last, row.added


def _of(jobs: Sequence[ClaimedJob]) -> dict[str, object]:
    return {"trace_ids": [job.trace_id for job in jobs], "claimed_until": jobs[0].due_at}
