"""Signs of token vectors, and late interaction between two texts, beside a slow computation with floats."""

import numpy as np
import pytest
from numpy.typing import NDArray

from commontrace.embeddings.token_signs import TokenSigns, late_interaction, quantize

Vectors = NDArray[np.float32]


def random_vectors(tokens: int, dimensions: int, seed: int = 0) -> Vectors:
    return np.random.default_rng([tokens, dimensions, seed]).standard_normal((tokens, dimensions), np.float32)


def signs_of(vectors: Vectors, weights: list[float] | None = None) -> TokenSigns:
    return TokenSigns(signs=quantize(vectors), weights=np.array(weights or [1] * len(vectors), np.float32))


def slow(query: Vectors, weights: list[float], text: Vectors) -> float:
    """Weighted mean of the best cosine between vectors of 1 and -1."""
    of_query, of_text = np.where(query > 0, 1.0, -1.0), np.where(text > 0, 1.0, -1.0)
    best = (of_query @ of_text.T / query.shape[1]).max(axis=1)
    return float(np.average(best, weights=weights))


@pytest.mark.parametrize("dimensions", [384, 24, 64, 70])
def test_agrees_with_floats(dimensions: int) -> None:
    query, weights = random_vectors(5, dimensions), [1.0, 4.0, 2.5, 0.5, 3.0]
    texts = [random_vectors(tokens, dimensions, seed=1) for tokens in (1, 9, 508, 3)]

    found = late_interaction(
        signs_of(query, weights), [signs_of(text).to_bytes() for text in texts], dimensions=dimensions
    )

    assert found == pytest.approx([slow(query, weights, text) for text in texts], abs=1e-6)


def test_a_text_is_as_similar_to_itself_as_can_be() -> None:
    text = signs_of(random_vectors(30, 384))

    assert late_interaction(text, [text.to_bytes()], dimensions=384) == [1.0]


def test_of_a_long_query_the_heaviest_tokens_count() -> None:
    query = random_vectors(65, 384)
    light, heavy = [1.0] * 32, [2.0] * 32
    weights = [*light, 0.5, *heavy]
    counting = np.delete(np.arange(65), 32)
    text = random_vectors(20, 384, seed=1)

    of_query = signs_of(query, weights).of_query()
    [found] = late_interaction(of_query, [signs_of(text).to_bytes()], dimensions=384)

    assert found == pytest.approx(slow(query[counting], [*light, *heavy], text), abs=1e-6)
    assert not of_query.signs.flags.writeable
