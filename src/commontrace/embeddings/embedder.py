"""What every embedder offers, whatever encodes the text behind it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from commontrace.embeddings.model import Model

Vector = NDArray[np.float32]

HOSTED_VERSION = "openai"
"""The version of every hosted model: endpoints name their models, and tell nothing of the weights."""


def unit(vector: Vector) -> Vector:
    """Returns the direction of a vector of any length but 0: shape (n,), float32, Euclidean norm 1."""
    # In double precision: the square of a component may not fit in single.
    wide = vector.astype(np.float64)
    return (wide / math.sqrt(wide @ wide)).astype(np.float32)


def euclidean_norm(vector: Vector) -> float:
    """Returns the length of a vector of shape (n,); not finite where a component is not."""
    # In double precision: the square of a component may not fit in single.
    wide = vector.astype(np.float64)
    return math.sqrt(wide @ wide)


class EmbedderUnavailable(Exception):
    """The embedder cannot encode now; the same text may succeed later, in `retry_after` seconds if that is known."""

    def __init__(self, message: str = "text cannot be encoded now", *, retry_after: float | None = None) -> None:
        """Takes what callers may read: no secret, no text."""
        super().__init__(message)
        self.retry_after = retry_after


class ModelNotUsable(Exception):
    """The model cannot be used as it is or as the settings ask for it. The message says what to change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedding:
    """The vector of one text.

    `vector` has shape (dimensions,), dtype float32 and Euclidean norm 1.
    `tokens_read` of the text's `tokens_total` tokens went into it; the rest was beyond what the model reads. Both are 0
    where nobody counted them; the embedder's own docstring tells when, and when `tokens_total` is an estimate.
    """

    vector: Vector
    tokens_read: int
    tokens_total: int


class Embedder(Model, Protocol):
    """Turns texts into unit vectors whose dot product is their cosine similarity."""

    async def encode(self, texts: Sequence[str]) -> list[Embedding]:
        """Returns one embedding per text, in order. Raises EmbedderUnavailable."""

    async def close(self) -> None:
        """Releases threads and connections; no encode may follow."""
