"""Vector packing: the same bytes as numpy's, without numpy."""

import re
import subprocess
import sys
from array import array

import numpy as np
import pytest

from commontrace.client import vector

NUMBERS = np.random.default_rng(1).normal(size=384)


@pytest.mark.parametrize(
    "components",
    [NUMBERS, NUMBERS.astype("f4")[::-2], NUMBERS.tolist(), tuple(NUMBERS), array("d", NUMBERS), np.arange(5), []],
)
def test_numbers_of_every_kind(components: list[float]) -> None:
    packed = vector(components, model_id="m")
    assert (packed.packed_f32, packed.model_id) == (np.asarray(components, dtype="<f4").tobytes(), "m")


@pytest.mark.parametrize(("components", "shape"), [([[1, 2]], (1, 2)), (np.zeros((3, 1)), (3, 1)), ("12", ()), (7, ())])
def test_another_shape(components: list[float], shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=re.escape(f"a vector must have the shape (dimensions,), not {shape}")):
        vector(components, model_id="m")


def test_numpy_is_not_imported() -> None:
    code = "import sys; from commontrace.client import vector; vector([1], model_id='m'); print('numpy' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
