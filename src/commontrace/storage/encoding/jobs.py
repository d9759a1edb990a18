"""Encoding queue: jobs for traces without a vector, leased by any number of workers (ADR 0017)."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Boolean,
    Float,
    String,
    Uuid,
    any_,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from commontrace.embeddings.model import Model
from commontrace.settings import LONGEST_DELAY_SECONDS
from commontrace.storage.executor import Executor
from commontrace.storage.models import EncodingJob, Trace
from commontrace.storage.search.trace_tokens import has_tokens
from commontrace.storage.stored_times import is_ahead
from commontrace.storage.transaction import Transaction


class LeasedJob(NamedTuple):
    """A job leased until `due_at`, which is the same for all jobs of a lease. `attempts` counts this one."""

    trace_id: UUID
    attempts: int
    due_at: datetime


class QueueState(NamedTuple):
    """Length of the queue, age of its oldest job in seconds, and number of dead letters (`given_up`).

    Jobs of traces that have their vector, and lack their tokens alone, do not count.
    """

    waiting: int
    oldest_seconds: float
    given_up: int


class QueuedTrace(NamedTuple):
    """Text of a queued trace, deleted or not, and the model of its vector, None without one.

    `has_tokens` tells whether the tokens of this text are stored, of the vector's model.
    """

    id: UUID
    revision: int
    title: str
    context_text: str
    solution_text: str
    embedding_model_id: str | None
    embedding_model_version: str | None
    has_tokens: bool


# Built once: building a statement costs more than running it.
_ENQUEUE = insert(EncodingJob.__table__)
_ENQUEUE = _ENQUEUE.on_conflict_do_update(
    index_elements=[EncodingJob.trace_id],
    set_={"attempts": 0, "due_at": func.now(), "has_vector": False, "last_error": "", "given_up_at": None},
)

_LONGEST_DELAY = f"interval '{LONGEST_DELAY_SECONDS} seconds'"
# A job with earlier attempts is leased alone: its text may be what fails, or what kills workers.
_LEASE = text(
    f"""
    WITH due AS (
        SELECT trace_id, attempts, due_at, has_vector FROM encoding_jobs
        WHERE given_up_at IS NULL
            AND (due_at <= now() OR {is_ahead("due_at", _LONGEST_DELAY)} OR {is_ahead("created_at")})
        ORDER BY has_vector, due_at LIMIT :batch
        FOR UPDATE SKIP LOCKED
    ), placed AS (
        SELECT trace_id, attempts, row_number() OVER (ORDER BY has_vector, due_at, trace_id) AS place FROM due
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
# Locked in one order everywhere, so that transactions wait instead of deadlocking.
_LOCKED = select(EncodingJob.trace_id).where(EncodingJob.trace_id == _ANY_OF_THEM)
_IN_ORDER = _LOCKED.order_by(EncodingJob.trace_id).with_for_update()
# A job whose lease has expired, or whose trace was edited, has another due_at by now.
_STILL_LEASED = _LOCKED.where(EncodingJob.due_at == bindparam("leased_until"))
_STILL_LEASED = _STILL_LEASED.order_by(EncodingJob.trace_id).with_for_update()

_DELETE = delete(EncodingJob.__table__).where(EncodingJob.trace_id.in_(_IN_ORDER))
_DELETE_LEASED = delete(EncodingJob.__table__).where(EncodingJob.trace_id.in_(_STILL_LEASED))
_RELEASE = (
    update(EncodingJob.__table__)
    .where(EncodingJob.trace_id.in_(_STILL_LEASED))
    .values(
        attempts=EncodingJob.attempts - 1,
        due_at=func.now(),
        last_error=func.coalesce(bindparam("why", type_=String), EncodingJob.last_error),
    )
)
_SECONDS = func.make_interval(0, 0, 0, 0, 0, 0, bindparam("seconds", type_=Float))
_POSTPONE = (
    update(EncodingJob.__table__)
    .where(EncodingJob.trace_id.in_(_STILL_LEASED))
    .values(due_at=func.now() + _SECONDS, last_error=bindparam("why"))
)
_MARK_DEAD = (
    update(EncodingJob.__table__)
    .where(EncodingJob.trace_id.in_(_STILL_LEASED))
    .values(given_up_at=func.now(), last_error=bindparam("why"))
)
_TEXTS = select(
    *(Trace.__table__.c[name] for name in QueuedTrace._fields if name != "has_tokens"),
    literal_column(has_tokens("traces"), Boolean).label("has_tokens"),
).where(Trace.id == _ANY_OF_THEM)

_COUNT_QUEUED = select(func.count()).select_from(EncodingJob).where(EncodingJob.given_up_at.is_(None))
_STATE = text(
    """
    SELECT count(*) FILTER (WHERE given_up_at IS NULL) AS waiting,
        GREATEST(extract(epoch FROM now() - min(created_at) FILTER (WHERE given_up_at IS NULL)), 0)::float8
            AS oldest_seconds,
        count(given_up_at) AS given_up
    FROM encoding_jobs WHERE NOT has_vector"""
)
_RETRY_DEAD = (
    update(EncodingJob.__table__)
    .where(EncodingJob.given_up_at.is_not(None))
    .values(attempts=0, due_at=func.now(), given_up_at=None)
)
# FOR KEY SHARE waits for a purge in progress and leaves its trace out; otherwise the foreign key would refuse the job.
_ENQUEUE_MISSING = text(
    f"""
    WITH page AS (
        SELECT id, revision, embedding_model_id, embedding_model_version FROM traces
        WHERE CAST(:after AS uuid) IS NULL OR id > :after ORDER BY id LIMIT :size
    ), missing AS (
        SELECT id, (embedding_model_id, embedding_model_version) IS NOT DISTINCT FROM (:model_id, :model_version)
            AS has_vector
        FROM traces
        WHERE id IN (
            SELECT id FROM page
            WHERE (embedding_model_id, embedding_model_version) IS DISTINCT FROM (:model_id, :model_version)
                OR (:with_tokens AND NOT {has_tokens("page")}))
        ORDER BY id FOR KEY SHARE
    ), added AS (
        INSERT INTO encoding_jobs (trace_id, has_vector)
        SELECT id, has_vector FROM missing
        ON CONFLICT DO NOTHING
        RETURNING trace_id
    )
    SELECT (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS last, (SELECT count(*) FROM added) AS added"""  # noqa: S608 - our own names
)


class EncodingJobReader:
    """Read side of the queue."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def list_texts(self, trace_ids: Collection[UUID]) -> list[QueuedTrace]:
        """Returns the texts of queued traces."""
        rows = await self._executor.execute(_TEXTS, {"trace_ids": list(trace_ids)})
        return [QueuedTrace._make(row) for row in rows]

    async def count_queued(self) -> int:
        """Returns the number of jobs, due or not, without dead ones."""
        return (await self._executor.execute(_COUNT_QUEUED)).scalar_one()

    async def get_state(self) -> QueueState:
        """Returns the state of the queue. Reads every job: 10 ms for 10,000."""
        return QueueState._make((await self._executor.execute(_STATE)).one())


class EncodingJobRepository(EncodingJobReader):
    """The queue in one unit of work. A job is added in the transaction that leaves a trace without a vector.

    Methods that take leased jobs skip those whose lease has ended.
    """

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)
        self.has_added = False
        """True if workers have something to do after the commit."""

    async def enqueue(self, trace_id: UUID) -> None:
        """Adds a job for a trace that this transaction has inserted or locked; an earlier job starts anew."""
        await self._executor.execute(_ENQUEUE, {"trace_id": trace_id})
        self.has_added = True

    async def delete(self, trace_ids: Collection[UUID]) -> None:
        """Deletes the jobs of traces that this transaction has locked and encoded."""
        await self._executor.execute(_DELETE, {"trace_ids": list(trace_ids)})

    async def lease(self, batch: int, *, lease_seconds: float) -> list[LeasedJob]:
        """Leases up to `batch` due jobs, longest due first, and skips jobs that other workers lock.

        Those of traces that have their vector, and lack their tokens alone, come last.

        A job with earlier attempts is leased alone.
        """
        rows = await self._executor.execute(_LEASE, {"batch": batch, "lease": lease_seconds})
        return [LeasedJob._make(row) for row in rows]

    async def delete_leased(self, jobs: Sequence[LeasedJob]) -> None:
        """Deletes jobs."""
        await self._executor.execute(_DELETE_LEASED, _lease_parameters(jobs))

    async def release(self, jobs: Sequence[LeasedJob], why: str | None = None) -> None:
        """Makes jobs due at once, without counting the attempt."""
        await self._executor.execute(_RELEASE, {**_lease_parameters(jobs), "why": why})

    async def postpone(self, jobs: Sequence[LeasedJob], seconds: float, why: str) -> None:
        """Makes jobs due in `seconds`."""
        await self._executor.execute(_POSTPONE, {**_lease_parameters(jobs), "seconds": seconds, "why": why})

    async def mark_dead(self, jobs: Sequence[LeasedJob], why: str) -> None:
        """Marks jobs as dead letters: no worker leases them again."""
        await self._executor.execute(_MARK_DEAD, {**_lease_parameters(jobs), "why": why})

    async def retry_dead(self) -> int:
        """Makes dead jobs due with all their attempts; returns how many."""
        self.has_added = True
        return (await self._executor.execute(_RETRY_DEAD)).rowcount

    async def enqueue_missing(
        self, model: Model, *, with_tokens: bool, after: UUID | None, size: int
    ) -> tuple[UUID | None, int]:
        """Adds jobs for those of the next `size` traces by id that have no vector of the model and no job.

        `with_tokens`: also for those without the tokens of their text.

        Returns the id of the last trace scanned, None at the end, and how many jobs were added.
        """
        parameters = {
            "model_id": model.model_id,
            "model_version": model.model_version,
            "with_tokens": with_tokens,
            "after": after,
            "size": size,
        }
        [row] = await self._executor.execute(_ENQUEUE_MISSING, parameters)
        self.has_added = True
        return row.last, row.added


def _lease_parameters(jobs: Sequence[LeasedJob]) -> dict[str, object]:
    return {"trace_ids": [job.trace_id for job in jobs], "leased_until": jobs[0].due_at}
