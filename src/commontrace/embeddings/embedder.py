"""Embedder protocol: encodes texts into unit vectors, whatever the model behind it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from commontrace.embeddings.model import Model
from commontrace.embeddings.token_signs import TokenSigns

Vector = NDArray[np.float32]

HOSTED_VERSION = "openai"
"""The version of every hosted model: endpoints name their models, and do not identify the weights."""


def unit_vector(vector: Vector) -> Vector:
    """Returns a vector scaled to Euclidean norm 1: shape (n,), float32. Its norm must not be 0."""
    # In double precision: the square of a component may not fit in single.
    wide = vector.astype(np.float64)
    return (wide / math.sqrt(wide @ wide)).astype(np.float32)


def euclidean_norm(vector: Vector) -> float:
    """Returns the Euclidean norm of a vector of shape (n,); not finite if a component is not."""
    # In double precision: the square of a component may not fit in single.
    wide = vector.astype(np.float64)
    return math.sqrt(wide @ wide)


class EmbedderUnavailable(Exception):
    """The embedder cannot encode now; the same text may succeed later, in `retry_after` seconds if that is known.

    Callers read the message: it holds no secret and no text.
    """

    def __init__(self, message: str = "text cannot be encoded now", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ModelNotUsable(Exception):
    """The model cannot be used at all, or not with these settings. The message says what to change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedding:
    """The vector of one text.

    `vector` has shape (dimensions,), dtype float32 and Euclidean norm 1.
    `tokens_read` of the text's `tokens_total` tokens went into it; the rest was truncated. Both are 0 if they were not
    counted. The embedder's docstring says when that is, and when `tokens_total` is an estimate. `token_signs` is None
    where the embedder has no vectors of tokens.
    """

    vector: Vector
    tokens_read: int
    tokens_total: int
    token_signs: TokenSigns | None = None


class Embedder(Model, Protocol):
    """Encodes texts into unit vectors, whose dot product is their cosine similarity."""

    async def encode(self, texts: Sequence[str]) -> list[Embedding]:
        """Returns one embedding per text, in order. Raises EmbedderUnavailable."""

    async def close(self) -> None:
        """Releases threads and connections; no encode may follow."""
