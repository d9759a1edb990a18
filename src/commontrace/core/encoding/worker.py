"""Whoever takes turns at the queue: as long as there is something due, or for ever."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from commontrace.backoff import backoff_seconds
from commontrace.core.encoding.queue import Outcome, Turn, take_turn
from commontrace.domain.errors import ModelReplaced
from commontrace.domain.log_safety import safe_message
from commontrace.embeddings.embedder import Embedder, EmbedderUnavailable
from commontrace.storage.database import Database

log = structlog.get_logger()

# How often a queue is looked into that others, in other processes, may fill.
_IDLE_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 60.0


async def encode_what_is_due(
    database: Database, embedder: Embedder, *, lease_seconds: float, on_progress: Callable[[int], None] | None = None
) -> Turn:
    """Takes turns until nothing is due and returns what came of all of them.

    Raises EmbedderUnavailable where the embedder is away, and what `take_turn` does. `on_progress` hears how many are
    encoded.
    """
    encoded = given_up = 0
    while True:
        turn = await take_turn(database, embedder, lease_seconds=lease_seconds)
        if turn.outcome is Outcome.EMBEDDER_AWAY:
            raise EmbedderUnavailable(turn.why, retry_after=turn.retry_after)
        encoded += turn.encoded
        given_up += turn.given_up
        if on_progress:
            on_progress(encoded)
        if turn.outcome is Outcome.NOTHING_DUE:
            return Turn(outcome=Outcome.NOTHING_DUE, encoded=encoded, given_up=given_up)


async def run_encoding(
    database: Database,
    embedder: Callable[[], Embedder],
    *,
    lease_seconds: float,
    ends_with_its_model: bool = False,
) -> None:
    """Takes turns until cancelled. An embedder or a database that is away is asked again, later and later.

    `embedder` gives the one that is to be used now. With `ends_with_its_model`, raises ModelReplaced when the
    database's vectors are another model's.
    """
    failures = 0
    while True:
        # Before the turn: what is queued during it is seen.
        database.encoding_wanted.clear()
        try:
            turn = await take_turn(database, embedder(), lease_seconds=lease_seconds)
        except Exception as error:
            if isinstance(error, ModelReplaced) and ends_with_its_model:
                raise
            failures += 1
            pause = _pause(failures)
            log.warning("nothing can be encoded", error=safe_message(error), pause=round(pause, 3))
            await asyncio.sleep(pause)
            continue
        if turn.outcome is Outcome.EMBEDDER_AWAY:
            failures += 1
            wait = _pause(failures) + (turn.retry_after or 0.0)
            log.warning("traces wait for their vectors: text cannot be encoded", why=turn.why, pause=round(wait, 3))
            await asyncio.sleep(wait)
            continue
        failures = 0
        if turn.encoded:
            log.info("traces encoded", count=turn.encoded)
        if turn.outcome is Outcome.NOTHING_DUE:
            with suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_SECONDS):
                    await database.encoding_wanted.wait()


def _pause(failures: int) -> float:
    return backoff_seconds(failures, first=_FIRST_PAUSE_SECONDS, longest=_LONGEST_PAUSE_SECONDS)
