"""Texts become vectors, if the embedder can and in time."""

from collections.abc import Sequence

import numpy as np
import structlog

from commontrace.domain.deadline import Deadline
from commontrace.embeddings.embedder import Embedder, EmbedderUnavailable, Embedding
from commontrace.plurals import counted
from commontrace.sharing.elsewhere import elsewhere

log = structlog.get_logger()

# What encoding leaves of the time there is, for storing.
_STORING_SHARE = 0.4
_STORING_SECONDS = 5.0

_NORM_TOLERANCE = 1e-3


class UnusableVector(Exception):
    """An embedder answered with something that cannot be stored."""


async def encode_in_time(text: str, *, deadline: Deadline, embedder: Embedder) -> Embedding | None:
    """Encodes a text, or returns None where it has to wait: the embedder cannot, or not before storing must begin."""
    try:
        async with elsewhere(), deadline.leaving(share=_STORING_SHARE, most=_STORING_SECONDS).limit():
            [embedding] = await encode_all(embedder, [text])
    except Exception as error:  # noqa: BLE001 - whatever it is, what was contributed is not lost over it
        log.info("a trace is stored without its vector", why=reason_of(error))
        return None
    return embedding


async def encode_all(embedder: Embedder, texts: Sequence[str]) -> list[Embedding]:
    """Encodes every text. Raises EmbedderUnavailable, UnusableVector, and whatever else an embedder may raise."""
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
        # Not a number is not less than anything.
        if not abs(float(np.linalg.norm(embedding.vector)) - 1.0) < _NORM_TOLERANCE:
            raise UnusableVector("the embedder answered with a vector that is not of unit length")
    return embeddings


def reason_of(error: Exception) -> str:
    """Returns what may be told and kept of a failure: no secret, no text."""
    if isinstance(error, EmbedderUnavailable | UnusableVector):
        return str(error)
    # What others say may repeat the text.
    return "the embedder did not answer in time" if isinstance(error, TimeoutError) else type(error).__name__
