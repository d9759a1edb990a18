"""Re-encoding: moves a database to another embedding model while servers go on (ADR 0020)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import TypeVar
from uuid import UUID

import structlog

from commontrace.backoff import backoff_seconds
from commontrace.domain.errors import Busy, CommonTraceError
from commontrace.domain.traces.contribution import embedding_text
from commontrace.embeddings.embedder import Embedder, EmbedderUnavailable, Embedding
from commontrace.embeddings.model import Model, RecordedModel
from commontrace.storage.encoding.cutover import Cutover
from commontrace.storage.encoding.next_embedding import UnencodedTrace
from commontrace.storage.encoding.reembedding import Reembedding

log = structlog.get_logger()

_WINDOW = 128
_BATCH = 32
# The first swaps hope that nobody writes between the last encoding and the swap; later ones let writers wait.
_HOPEFUL_SWAPS = 3
# Traces encoded while writers wait, at most, and for how long: writers give up after 2 s.
_FEW = 16
_WRITERS_WAIT_SECONDS = 1.2
_WAIT_SECONDS = (0.1, 2.0)
_ENCODER_WAIT_SECONDS = (1.0, 30.0)

Result = TypeVar("Result")
Progress = Callable[[int, int], None]


class ReembeddingRefused(CommonTraceError):
    """The database is being moved to another model already. The message says what to do."""


async def reembed(steps: Reembedding, embedder: Embedder, *, on_progress: Progress) -> int | None:
    """Moves the database to the embedder's model; returns its number of traces, None if it has that model already.

    Resumes an interrupted run. `on_progress` gets the number of traces encoded and of all. Waits while the embedder is
    unavailable. Raises ReembeddingRefused, InvalidStoredVector, DatabaseUnavailable.
    """
    current, upcoming = await _retry_while_busy(steps.get_models)
    if upcoming is not None and not upcoming.made_by(embedder):
        raise ReembeddingRefused(
            f"the database is being moved to {_named(upcoming)}, not to {_named(embedder)}: go on with the settings of"
            " that one, or give it up with `commontrace reembed --cancel`"
        )
    if current.made_by(embedder):
        # Perhaps a run was cut off before it had deleted them.
        await _retry_while_busy(steps.delete_unused_tokens)
        return None
    if upcoming is None:
        await _retry_while_busy(lambda: steps.start(embedder))
    else:
        log.info("going on where it was cut off", model=upcoming.model_id)
    await _retry_while_busy(steps.validate)
    await _fill(steps, embedder, on_progress)
    log.info("building the vector index")
    await _retry_while_busy(steps.build_indexes)
    await _swap(steps, embedder)
    await _retry_while_busy(steps.delete_unused_tokens)
    await _retry_while_busy(steps.analyze)
    return await _retry_while_busy(steps.count_traces)


async def cancel(steps: Reembedding) -> RecordedModel | None:
    """Drops the unfinished vectors and returns their model; None if the database was not being moved."""
    _, upcoming = await _retry_while_busy(steps.get_models)
    if upcoming is not None:
        await _retry_while_busy(steps.cancel)
        await _retry_while_busy(steps.delete_unused_tokens)
    return upcoming


async def _fill(steps: Reembedding, embedder: Embedder, on_progress: Progress) -> None:
    done, total = await _retry_while_busy(steps.count_done)
    on_progress(done, total)
    last = None
    while True:
        missing, last = await _load_window(last, steps)
        if last is None:
            return
        for start in range(0, len(missing), _BATCH):
            batch = missing[start : start + _BATCH]
            await _encode(batch, steps, embedder)
            done += len(batch)
            on_progress(done, max(total, done))


async def _load_window(last: UUID | None, steps: Reembedding) -> tuple[list[UnencodedTrace], UUID | None]:
    return await _retry_while_busy(lambda: steps.list_window(last, _WINDOW))


async def _swap(steps: Reembedding, embedder: Embedder) -> None:
    for attempt in count(1):
        await _catch_up(steps, embedder)
        try:
            async with steps.cutover() as cutover:
                await _cut_over(cutover, embedder, is_hopeful=attempt <= _HOPEFUL_SWAPS)
        except (_NotYet, Busy, EmbedderUnavailable, TimeoutError) as error:
            log.debug("the swap has to wait", attempt=attempt, why=str(error) or type(error).__name__)
            await asyncio.sleep(_pause(attempt, _WAIT_SECONDS))
        else:
            return


async def _catch_up(steps: Reembedding, embedder: Embedder) -> None:
    while missing := await _retry_while_busy(lambda: steps.list_missing(_BATCH)):
        await _encode(missing, steps, embedder)
        # Few are left for the swap: with steady writers there would always be some.
        if len(missing) <= _FEW:
            return


async def _cut_over(cutover: Cutover, embedder: Embedder, *, is_hopeful: bool) -> None:
    missing = await cutover.list_missing(_FEW + 1)
    if missing:
        if is_hopeful or len(missing) > _FEW:
            raise _NotYet
        async with asyncio.timeout(_WRITERS_WAIT_SECONDS):
            embeddings = await _embeddings(missing, embedder)
        await cutover.save_embeddings(embeddings, embedder)
    await cutover.swap(embedder)


class _NotYet(Exception):
    """A trace was written between the last encoding and the swap."""


async def _encode(missing: Sequence[UnencodedTrace], steps: Reembedding, embedder: Embedder) -> None:
    for attempt in count(1):
        try:
            embeddings = await _embeddings(missing, embedder)
            break
        except EmbedderUnavailable as error:
            seconds = _pause(attempt, _ENCODER_WAIT_SECONDS) + (error.retry_after or 0.0)
            log.warning("waiting for the embedder; what is done is kept", why=str(error), seconds=round(seconds, 3))
            await asyncio.sleep(seconds)
    await _retry_while_busy(lambda: steps.save_embeddings(embeddings, embedder))


async def _embeddings(missing: Sequence[UnencodedTrace], embedder: Embedder) -> dict[UnencodedTrace, Embedding]:
    embeddings = await embedder.encode(
        [embedding_text(trace.title, trace.context, trace.solution) for trace in missing]
    )
    return dict(zip(missing, embeddings, strict=True))


async def _retry_while_busy(step: Callable[[], Awaitable[Result]]) -> Result:
    for attempt in count(1):
        try:
            return await step()
        except Busy as error:
            log.debug("somebody holds what is needed", attempt=attempt, why=str(error))
            await asyncio.sleep(_pause(attempt, _WAIT_SECONDS))
    raise AssertionError  # pragma: no cover - count never ends


def _pause(attempt: int, bounds: tuple[float, float]) -> float:
    first, longest = bounds
    return backoff_seconds(attempt, first=first, longest=longest)


def _named(model: Model) -> str:
    return f"{model.model_id} {model.model_version} ({model.dimensions} dimensions)"
