"""Encoding queue: workers lease a batch of traces without a vector, encode it with no transaction open, and store it.

Any number of workers in any number of processes. The jobs of a worker that died are due again when its lease expires.
An expired lease costs double work, never a wrong vector: a vector is stored only on the revision that was read. A job
that keeps failing becomes a dead letter (ADR 0017).
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

import structlog

from commontrace.backoff import backoff_seconds
from commontrace.core.encoding.encode import encode_all, safe_reason
from commontrace.domain.errors import CommonTraceError, ModelReplaced
from commontrace.domain.traces.contribution import embedding_text
from commontrace.embeddings.embedder import Embedder, Embedding
from commontrace.embeddings.local.text_reading import keeps_tokens
from commontrace.embeddings.model import RecordedModel
from commontrace.settings import LEASE_SECONDS, LONGEST_DELAY_SECONDS
from commontrace.storage.database import Database
from commontrace.storage.encoding.jobs import LeasedJob, QueuedTrace
from commontrace.storage.search.trace_tokens import TokensOfRevision

log = structlog.get_logger()

MOST_ATTEMPTS = 20
"""Attempts after which a trace that cannot be encoded is given up (a dead letter)."""

# Small, so that queries of the same local model are encoded in between.
_BATCH = 8
_PROBE = "Does it encode?"
_PROBE_SECONDS = 10.0
_WHY_CHARACTERS = 500
_MISSING_AT_ONCE = 2000
_FIRST_DELAY_SECONDS = 2.0


class BatchOutcome(Enum):
    """Outcome of a batch."""

    NOTHING_DUE = "nothing due"
    PROCESSED = "worked"
    EMBEDDER_UNAVAILABLE = "embedder away"


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchResult:
    """Numbers of traces encoded and given up. `why` is the last failure, `retry_after` is in seconds, if known."""

    outcome: BatchOutcome
    encoded: int = 0
    given_up: int = 0
    why: str = ""
    retry_after: float | None = None


async def encode_batch(database: Database, embedder: Embedder, *, lease_seconds: float = LEASE_SECONDS) -> BatchResult:
    """Encodes one batch of due jobs. Raises ModelReplaced, and what the database raises.

    An embedder that is unavailable costs no trace an attempt. A text at which a working embedder fails costs attempts
    of its own only: jobs that failed together are tried alone.
    """
    async with database.unit_of_work() as work:
        jobs = await work.encoding_jobs.lease(_BATCH, lease_seconds=lease_seconds)
    if not jobs:
        return BatchResult(outcome=BatchOutcome.NOTHING_DUE)
    is_done = False
    try:
        result = await _process(jobs, database, embedder, lease_seconds=lease_seconds)
        is_done = True
    finally:
        if not is_done:
            # Other workers need not wait for the lease of one that ends or has lost the database.
            with suppress(CommonTraceError):
                async with database.unit_of_work() as work:
                    await work.encoding_jobs.release(jobs)
    return result


async def requeue(database: Database, on_progress: Callable[[int], None] | None = None) -> int:
    """Queues all dead letters and every trace without a vector of the current model, or without its tokens.

    Returns the number queued. `on_progress` gets the number queued so far.
    """
    current = await database.read(lambda reading: reading.embedding_models.get_current())
    async with database.unit_of_work() as work:
        queued = await work.encoding_jobs.retry_dead()
    last: UUID | None = None
    while True:
        async with database.unit_of_work() as work:
            last, added = await work.encoding_jobs.enqueue_missing(
                current, with_tokens=keeps_tokens(current), after=last, size=_MISSING_AT_ONCE
            )
        queued += added
        if on_progress:
            on_progress(queued)
        if last is None:
            return queued


async def _process(
    jobs: Sequence[LeasedJob], database: Database, embedder: Embedder, *, lease_seconds: float
) -> BatchResult:
    if jobs[0].attempts > MOST_ATTEMPTS:
        return await _failed(jobs, "the workers that tried it ended before they were done", database)
    _refuse_other_models(embedder, await database.read(lambda reading: reading.embedding_models.get_current()))
    texts = await database.read(lambda reading: reading.encoding_jobs.list_texts([job.trace_id for job in jobs]))
    waiting = [text for text in texts if not (_has_vector_of(embedder, text) and _has_its_tokens(embedder, text))]
    if not waiting:
        return await _store(jobs, {}, database, embedder)
    try:
        async with asyncio.timeout(lease_seconds):
            embeddings = await encode_all(
                embedder, [embedding_text(text.title, text.context_text, text.solution_text) for text in waiting]
            )
    except Exception as error:  # noqa: BLE001 - whatever it is, other texts may be encoded
        why = safe_reason(error)[:_WHY_CHARACTERS]
        retry_after = getattr(error, "retry_after", None)
        if retry_after is not None or not await _is_available(embedder):
            async with database.unit_of_work() as work:
                await work.encoding_jobs.release(jobs, why)
            return BatchResult(outcome=BatchOutcome.EMBEDDER_UNAVAILABLE, why=why, retry_after=retry_after)
        return await _failed(jobs, why, database)
    return await _store(jobs, dict(zip(waiting, embeddings, strict=True)), database, embedder)


async def _store(
    jobs: Sequence[LeasedJob],
    embeddings: dict[QueuedTrace, Embedding],
    database: Database,
    embedder: Embedder,
) -> BatchResult:
    async with database.unit_of_work() as work:
        locked = await work.trace_changes.lock_anywhere([text.id for text in embeddings])
        # After the lock, which keeps the model from being replaced until the transaction ends (ADR 0020).
        _refuse_other_models(embedder, await work.embedding_models.get_current())
        encoded = []
        # In the order of ids, which the locks on the sign table follow. Purged traces are not among the locked.
        by_id = {text.id: (text, embedding) for text, embedding in embeddings.items()}
        for trace in locked.values():
            text, embedding = by_id[trace.id]
            # Otherwise an edit has queued its own text, or brought its vector.
            if trace.revision == text.revision:
                # A vector that came with the trace stays, as its sender expects.
                if not _has_vector_of(embedder, text):
                    await work.trace_changes.set_vector(text.id, embedding.vector, embedder)
                encoded.append(TokensOfRevision(text.id, text.revision, embedding.token_signs))
        await work.trace_tokens.save(encoded, model_version=embedder.model_version)
        await work.encoding_jobs.delete([tokens.trace_id for tokens in encoded])
        encoded_here = {text.id for text in embeddings}
        had_vectors = [job for job in jobs if job.trace_id not in encoded_here]
        if had_vectors:
            await work.encoding_jobs.delete_leased(had_vectors)
    return BatchResult(outcome=BatchOutcome.PROCESSED, encoded=len(encoded))


async def _failed(jobs: Sequence[LeasedJob], why: str, database: Database) -> BatchResult:
    is_alone = len(jobs) == 1
    given_up = is_alone and jobs[0].attempts >= MOST_ATTEMPTS
    async with database.unit_of_work() as work:
        if given_up:
            await work.encoding_jobs.mark_dead(jobs, why)
        else:
            delay = _retry_delay(jobs[0].attempts) if is_alone else 0.0
            await work.encoding_jobs.postpone(jobs, delay, why)
    if given_up:
        log.error("a trace cannot be encoded and is given up", trace_id=str(jobs[0].trace_id), why=why)
    elif is_alone:
        log.warning("a trace cannot be encoded", trace_id=str(jobs[0].trace_id), why=why, attempts=jobs[0].attempts)
    return BatchResult(outcome=BatchOutcome.PROCESSED, given_up=int(given_up), why=why)


def _retry_delay(attempts: int) -> float:
    return backoff_seconds(attempts, first=_FIRST_DELAY_SECONDS, longest=LONGEST_DELAY_SECONDS)


async def _is_available(embedder: Embedder) -> bool:
    """Tells whether the embedder encodes a probe."""
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


def _has_vector_of(embedder: Embedder, text: QueuedTrace) -> bool:
    return (text.embedding_model_id, text.embedding_model_version) == (embedder.model_id, embedder.model_version)


def _has_its_tokens(embedder: Embedder, text: QueuedTrace) -> bool:
    return text.has_tokens or not keeps_tokens(embedder)
