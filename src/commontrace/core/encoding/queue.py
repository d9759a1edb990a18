"""One turn at the queue of traces that wait for their vector: claim, encode with nothing open, store.

Any number of workers in any number of processes may take turns. A claim is a lease: what a worker that died had claimed
is due again by itself. A lease that ran out costs double work, never a wrong vector, because a vector is stored only
on the revision that was read.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

import structlog

from commontrace.backoff import backoff_seconds
from commontrace.core.encoding.encode import encode_all, reason_of
from commontrace.domain.errors import CommonTraceError, ModelReplaced
from commontrace.domain.traces.contribution import embedding_text
from commontrace.embeddings.embedder import Embedder, Embedding
from commontrace.embeddings.model import RecordedModel
from commontrace.settings import LEASE_SECONDS, LONGEST_DELAY_SECONDS
from commontrace.storage.database import Database
from commontrace.storage.encoding.jobs import ClaimedJob, WaitingTrace

log = structlog.get_logger()

MOST_ATTEMPTS = 20
"""After so many, a trace that cannot be encoded is given up."""

# Queries of the same local model get their turns in between.
_BATCH = 8
_PROBE = "Does it encode?"
_PROBE_SECONDS = 10.0
_WHY_CHARACTERS = 500
_MISSING_AT_ONCE = 2000
_FIRST_DELAY_SECONDS = 2.0


class Outcome(Enum):
    """What came of a turn."""

    NOTHING_DUE = "nothing due"
    WORKED = "worked"
    EMBEDDER_AWAY = "embedder away"


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """What came of a turn, how many traces got their vector or were given up; why not, and how long to wait."""

    outcome: Outcome
    encoded: int = 0
    given_up: int = 0
    why: str = ""
    retry_after: float | None = None


async def take_turn(database: Database, embedder: Embedder, *, lease_seconds: float = LEASE_SECONDS) -> Turn:
    """Encodes some of what is due. Raises ModelReplaced, and what the database raises.

    An embedder that is away costs no trace an attempt. A text at which a working embedder fails costs attempts of its
    own only: whatever failed in company is tried alone.
    """
    async with database.unit_of_work() as work:
        jobs = await work.encoding_jobs.claim(_BATCH, lease_seconds=lease_seconds)
    if not jobs:
        return Turn(outcome=Outcome.NOTHING_DUE)
    is_settled = False
    try:
        turn = await _carry_out(jobs, database, embedder, lease_seconds=lease_seconds)
        is_settled = True
    finally:
        if not is_settled:
            # Whoever ends or lost the database need not keep others waiting for the lease.
            with suppress(CommonTraceError):
                async with database.unit_of_work() as work:
                    await work.encoding_jobs.release(jobs)
    return turn


async def queue_again(database: Database, on_progress: Callable[[int], None] | None = None) -> int:
    """Queues what was given up, and every trace without a vector of the current model; returns how many.

    `on_progress` hears how many were queued so far.
    """
    current = await database.read(lambda reading: reading.embedding_models.current())
    async with database.unit_of_work() as work:
        queued = await work.encoding_jobs.take_up_again()
    last: UUID | None = None
    while True:
        async with database.unit_of_work() as work:
            last, added = await work.encoding_jobs.add_missing(
                model_id=current.model_id, model_version=current.model_version, after=last, size=_MISSING_AT_ONCE
            )
        queued += added
        if on_progress:
            on_progress(queued)
        if last is None:
            return queued


async def _carry_out(
    jobs: Sequence[ClaimedJob], database: Database, embedder: Embedder, *, lease_seconds: float
) -> Turn:
    if jobs[0].attempts > MOST_ATTEMPTS:
        return await _failed(jobs, "the workers that tried it ended before they were done", database)
    _refuse_other_models(embedder, await database.read(lambda reading: reading.embedding_models.current()))
    texts = await database.read(lambda reading: reading.encoding_jobs.texts([job.trace_id for job in jobs]))
    waiting = [text for text in texts if not _has_vector_of(embedder, text)]
    if not waiting:
        return await _store(jobs, {}, database, embedder)
    try:
        async with asyncio.timeout(lease_seconds):
            embeddings = await encode_all(
                embedder, [embedding_text(text.title, text.context_text, text.solution_text) for text in waiting]
            )
    except Exception as error:  # noqa: BLE001 - whatever it is, other texts may fare better
        why = reason_of(error)[:_WHY_CHARACTERS]
        retry_after = getattr(error, "retry_after", None)
        if retry_after is not None or not await _answers(embedder):
            async with database.unit_of_work() as work:
                await work.encoding_jobs.release(jobs, why)
            return Turn(outcome=Outcome.EMBEDDER_AWAY, why=why, retry_after=retry_after)
        return await _failed(jobs, why, database)
    return await _store(jobs, dict(zip(waiting, embeddings, strict=True)), database, embedder)


async def _store(
    jobs: Sequence[ClaimedJob],
    embeddings: dict[WaitingTrace, Embedding],
    database: Database,
    embedder: Embedder,
) -> Turn:
    async with database.unit_of_work() as work:
        locked = await work.trace_changes.lock([text.id for text in embeddings])
        # Behind the lock, which keeps the model from being replaced until the transaction ends.
        _refuse_other_models(embedder, await work.embedding_models.current())
        encoded = []
        # In the order of ids, for the signs that follow. What was purged meanwhile is not among them.
        by_id = {text.id: (text, embedding) for text, embedding in embeddings.items()}
        for trace in locked.values():
            text, embedding = by_id[trace.id]
            # An edit has queued its own text, or brought its vector.
            if trace.revision == text.revision:
                await work.trace_changes.set_vector(text.id, embedding.vector, embedder)
                encoded.append(text.id)
        await work.encoding_jobs.remove(encoded)
        in_hand = {text.id for text in embeddings}
        had_vectors = [job for job in jobs if job.trace_id not in in_hand]
        if had_vectors:
            await work.encoding_jobs.remove_claimed(had_vectors)
    return Turn(outcome=Outcome.WORKED, encoded=len(encoded))


async def _failed(jobs: Sequence[ClaimedJob], why: str, database: Database) -> Turn:
    is_alone = len(jobs) == 1
    given_up = is_alone and jobs[0].attempts >= MOST_ATTEMPTS
    async with database.unit_of_work() as work:
        if given_up:
            await work.encoding_jobs.give_up(jobs, why)
        else:
            delay = _retry_delay(jobs[0].attempts) if is_alone else 0.0
            await work.encoding_jobs.put_off(jobs, delay, why)
    if given_up:
        log.error("a trace cannot be encoded and is given up", trace_id=str(jobs[0].trace_id), why=why)
    elif is_alone:
        log.warning("a trace cannot be encoded", trace_id=str(jobs[0].trace_id), why=why, attempts=jobs[0].attempts)
    return Turn(outcome=Outcome.WORKED, given_up=int(given_up), why=why)


def _retry_delay(attempts: int) -> float:
    return backoff_seconds(attempts, first=_FIRST_DELAY_SECONDS, longest=LONGEST_DELAY_SECONDS)


async def _answers(embedder: Embedder) -> bool:
    """Tells whether it encodes anything at all."""
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            await encode_all(embedder, [_PROBE])
    except Exception:  # noqa: BLE001 - whatever it is, it encodes nothing
        return False
    return True


def _refuse_other_models(embedder: Embedder, current: RecordedModel) -> None:
    if not current.made_by(embedder):
        raise ModelReplaced(
            f"the database's vectors come from {current.model_id} {current.model_version} by now,"
            f" {embedder.model_id} {embedder.model_version} encodes nothing for it",
            current=current,
        )


def _has_vector_of(embedder: Embedder, text: WaitingTrace) -> bool:
    return (text.embedding_model_id, text.embedding_model_version) == (embedder.model_id, embedder.model_version)
