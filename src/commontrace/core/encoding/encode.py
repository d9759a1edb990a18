"""Encoding within a deadline: texts become vectors, or wait in the encoding queue (ADR 0017)."""

from collections.abc import Sequence

import numpy as np
import structlog

from commontrace.domain.deadline import Deadline
from commontrace.embeddings.embedder import Embedder, EmbedderUnavailable, Embedding
from commontrace.fair_sharing.slot_release import slot_released
from commontrace.plurals import counted

log = structlog.get_logger()

# Of the time until the deadline, this much is left for storing.
_STORING_SHARE = 0.4
_STORING_SECONDS = 5.0

_NORM_TOLERANCE = 1e-3


class UnusableVector(Exception):
    """The embedder returned something that cannot be stored: not one vector a text, or not of unit length."""


async def encode_in_time(text: str, *, deadline: Deadline, embedder: Embedder) -> Embedding | None:
    """Returns the embedding of a text, None if the embedder fails or is not done when storing must begin."""
    try:
        async with slot_released(), deadline.leaving(share=_STORING_SHARE, most=_STORING_SECONDS).limit():
            [embedding] = await encode_all(embedder, [text])
    except Exception as error:  # noqa: BLE001 - whatever it is, the contribution is not lost over it
        log.info("a trace is stored without its vector", why=safe_reason(error))
        return None
    return embedding


async def encode_all(embedder: Embedder, texts: Sequence[str]) -> list[Embedding]:
    """Returns one embedding a text, in order. Raises EmbedderUnavailable, UnusableVector, whatever embedders raise."""
    try:
        embeddings = await embedder.encode(texts)
    except EmbedderUnavailable:
        raise
    except Exception:
        log.exception("the embedder failed")
        raise
    if len(embeddings) != len(texts):
        raise UnusableVector(f"{counted(len(embeddings), 'vectors')} for {counted(len(texts), 'texts')}")
    for embedding in embeddings:
        # Written so that it catches NaN, which is not less than anything.
        if not abs(float(np.linalg.norm(embedding.vector)) - 1.0) < _NORM_TOLERANCE:
            raise UnusableVector("the embedder answered with a vector that is not of unit length")
    return embeddings


def safe_reason(error: Exception) -> str:
    """Returns the reason of a failure without secrets and texts, fit to be logged and stored."""
    if isinstance(error, EmbedderUnavailable | UnusableVector):
        return str(error)
    # Messages of libraries may repeat the text.
    return "the embedder did not answer in time" if isinstance(error, TimeoutError) else type(error).__name__
