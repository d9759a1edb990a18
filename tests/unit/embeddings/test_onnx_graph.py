"""Matrix products with 8-bit integers, compared with exact ones."""

import numpy as np
import onnxruntime  # type: ignore[import-untyped] # it ships no types
import pytest
from numpy.typing import NDArray

from commontrace.embeddings.local.onnx_graph import Graph

Array = NDArray[np.float32]


def int8_product(values: Array, weight: Array, bias: Array) -> Array:
    graph = Graph()
    result = graph.int8_product("embedded", weight, bias)
    model = graph.serialised(result=result, features=values.shape[1])
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    of_other_texts = np.zeros((len(values), len(values)), np.float32)
    [product] = session.run(None, {"embedded": values, "of_other_texts": of_other_texts})
    found: Array = product
    return found


@pytest.mark.parametrize("shift", [-30.0, 0.0, 0.5, 30.0])
def test_is_off_by_half_a_step_of_each_factor_at_most(shift: float) -> None:
    random = np.random.default_rng(0)
    values = (random.normal(size=(7, 50)) + shift).astype(np.float32)
    weight = random.normal(size=(64, 50)).astype(np.float32)
    bias = random.normal(size=64).astype(np.float32)

    found = int8_product(values, weight, bias)

    least, greatest = np.minimum(values.min(axis=1), 0), np.maximum(values.max(axis=1), 0)
    step, step_of_rows = (greatest - least) / 255, np.abs(weight).max(axis=1) / 127
    # The zero is rounded to a step as well, which shifts what lies at an end by half a step more.
    of_values = np.outer(step, np.abs(weight).sum(axis=1))
    of_weight = np.outer(np.abs(values).sum(axis=1) + 50 * step, step_of_rows / 2)
    exact = values.astype(np.float64) @ weight.T.astype(np.float64) + bias
    assert np.all(np.abs(found - exact) <= of_values + of_weight + 1e-3)
    assert np.abs(found - exact).mean() < 0.02 * np.abs(exact).mean()


def test_each_token_is_rounded_by_itself() -> None:
    random = np.random.default_rng(1)
    values, weight = random.normal(size=(2, 32)).astype(np.float32), random.normal(size=(8, 32)).astype(np.float32)
    bias = np.zeros(8, np.float32)

    alone = int8_product(values[:1], weight, bias)
    values[1] *= 1e4

    assert np.array_equal(int8_product(values, weight, bias)[:1], alone)


def test_zero_times_anything_is_zero() -> None:
    values, weight = np.zeros((3, 16), np.float32), np.ones((4, 16), np.float32)
    weight[0] = 0

    found = int8_product(values, weight, np.arange(4, dtype=np.float32))

    np.testing.assert_allclose(found, np.tile(np.arange(4), (3, 1)), atol=1e-6)
