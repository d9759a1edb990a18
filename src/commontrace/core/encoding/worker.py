"""Encoding workers: encode batches of the queue until it is empty, or until cancelled (ADR 0017)."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from commontrace.backoff import backoff_seconds
from commontrace.core.encoding.queue import BatchOutcome, BatchResult, encode_batch
from commontrace.domain.errors import ModelReplaced
from commontrace.domain.log_safety import safe_message
from commontrace.embeddings.embedder import Embedder, EmbedderUnavailable
from commontrace.storage.database import Database

log = structlog.get_logger()

# The polling interval: other processes may fill the queue without waking this one.
_IDLE_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 60.0


async def drain_queue(
    database: Database, embedder: Embedder, *, lease_seconds: float, on_progress: Callable[[int], None] | None = None
) -> BatchResult:
    """Encodes batches until nothing is due and returns their sum.

    Raises EmbedderUnavailable, and what `encode_batch` raises. `on_progress` gets the number encoded so far.
    """
    encoded = given_up = 0
    while True:
        result = await encode_batch(database, embedder, lease_seconds=lease_seconds)
        if result.outcome is BatchOutcome.EMBEDDER_UNAVAILABLE:
            raise EmbedderUnavailable(result.why, retry_after=result.retry_after)
        encoded += result.encoded
        given_up += result.given_up
        if on_progress:
            on_progress(encoded)
        if result.outcome is BatchOutcome.NOTHING_DUE:
            return BatchResult(outcome=BatchOutcome.NOTHING_DUE, encoded=encoded, given_up=given_up)


async def run_encoding(
    database: Database,
    embedder: Callable[[], Embedder],
    *,
    lease_seconds: float,
    raises_when_replaced: bool = False,
) -> None:
    """Runs until cancelled: encodes batches, and backs off while the embedder or the database is unavailable.

    `embedder` returns the embedder to use now. With `raises_when_replaced`, raises ModelReplaced once the database's
    vectors come from another model.
    """
    failures = 0
    while True:
        # Before the batch, so that what is queued during it is not missed.
        database.encoding_jobs_added.clear()
        try:
            result = await encode_batch(database, embedder(), lease_seconds=lease_seconds)
        except Exception as error:
            if isinstance(error, ModelReplaced) and raises_when_replaced:
                raise
            failures += 1
            pause = _pause(failures)
            log.warning("nothing can be encoded", error=safe_message(error), pause=round(pause, 3))
            await asyncio.sleep(pause)
            continue
        if result.outcome is BatchOutcome.EMBEDDER_UNAVAILABLE:
            failures += 1
            wait = _pause(failures) + (result.retry_after or 0.0)
            log.warning("traces wait for their vectors: text cannot be encoded", why=result.why, pause=round(wait, 3))
            await asyncio.sleep(wait)
            continue
        failures = 0
        if result.encoded:
            log.info("traces encoded", count=result.encoded)
        if result.outcome is BatchOutcome.NOTHING_DUE:
            with suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_SECONDS):
                    await database.encoding_jobs_added.wait()


def _pause(failures: int) -> float:
    return backoff_seconds(failures, first=_FIRST_PAUSE_SECONDS, longest=_LONGEST_PAUSE_SECONDS)
