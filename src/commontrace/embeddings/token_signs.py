"""Token signs: binary-quantized vectors of a text's tokens, and late interaction between two texts (ADR 0058)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A row of 64-bit words for each token: XOR and population count go word by word.
_WORD = np.dtype("<u8")
MOST_QUERY_TOKENS = 64
"""The tokens of a query that count: a comparison costs the product of both texts' tokens."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TokenSigns:
    """The signs of a text's token vectors, and the weight of each token.

    `signs` has shape (tokens, words), dtype uint64 (little-endian): a bit for each dimension, set if the component is
    positive; the bits beyond the last dimension are 0. `weights` has shape (tokens,), dtype float32, values above 0.
    """

    signs: NDArray[np.uint64]
    weights: NDArray[np.float32]

    def of_query(self) -> "TokenSigns":
        """Returns the 64 tokens of greatest weight, read-only."""
        heaviest = np.argsort(-self.weights, kind="stable")[:MOST_QUERY_TOKENS]
        signs, weights = self.signs[heaviest], self.weights[heaviest]
        signs.setflags(write=False)
        weights.setflags(write=False)
        return TokenSigns(signs=signs, weights=weights)

    def to_bytes(self) -> bytes:
        """Returns the signs alone, row by row, as `late_interaction` reads them."""
        return self.signs.tobytes()


def quantize(token_vectors: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Returns the signs of vectors of shape (tokens, dimensions), as `TokenSigns.signs`."""
    bits = np.packbits(token_vectors > 0, axis=1)
    padding = -bits.shape[1] % _WORD.itemsize
    return np.ascontiguousarray(np.pad(bits, ((0, 0), (0, padding)))).view(_WORD)


def late_interaction(query: TokenSigns, texts: list[bytes], *, dimensions: int) -> list[float]:
    """Returns the similarity of each text to the query, within -1..1. `texts` are `TokenSigns.to_bytes`, none empty.

    `query` is `TokenSigns.of_query`, not empty.

    The mean over the query's tokens, weighted, of the best cosine similarity with a token of the text (MaxSim): Khattab
    and Zaharia 2020, "ColBERT" (arXiv:2004.12832), 3.3. The cosine similarity of two sign vectors of d dimensions that
    differ in h is 1 - 2 h / d.
    """
    of_texts = np.frombuffer(b"".join(texts), _WORD).reshape(-1, query.signs.shape[1])
    starts = np.cumsum([0, *(len(text) // (of_texts.shape[1] * _WORD.itemsize) for text in texts[:-1])])
    distances = np.zeros((len(query.signs), len(of_texts)), np.uint16)
    for word in range(of_texts.shape[1]):
        distances += np.bitwise_count(query.signs[:, word, None] ^ of_texts[None, :, word])
    least = np.minimum.reduceat(distances, starts, axis=1)
    similarities = query.weights @ (1 - 2 * least.astype(np.float32) / dimensions) / query.weights.sum()
    return [float(similarity) for similarity in similarities]
