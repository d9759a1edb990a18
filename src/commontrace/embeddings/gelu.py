"""The activation of BERT, in place and in blocks that stay in the processor's cache."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26:
# erfc(z) = (a1 t + ... + a5 t^5) exp(-z^2) for z >= 0 with t = 1 / (1 + p z); these are p and a1 to a5.
_P = 0.3275911
_POLYNOMIAL = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)

_T_SLOPE = np.float32(_P / np.sqrt(2.0))
_HALF_POLYNOMIAL = tuple(np.float32(0.5 * coefficient) for coefficient in _POLYNOMIAL)
# Values a block of gelu works on: four float32 buffers of it stay in the second-level cache.
_BLOCK = 8192


def gelu(values: Array) -> None:
    """Replaces each value x by x * Phi(x), Phi being the standard normal distribution function.

    `values` is C-contiguous, any shape. Computed as max(x, 0) - |x| * erfc(|x| / sqrt 2) / 2, so no sign has
    to be restored. The approximated erfc is off by at most 1.5e-7, the result by 7.5e-8 * |x| (Hendrycks and
    Gimpel 2016, arXiv:1606.08415; Abramowitz and Stegun 7.1.26) and float32 rounding.
    """
    flat = values.reshape(-1)
    size = min(_BLOCK, flat.size)
    magnitudes, slopes, tails = (np.empty(size, np.float32) for _ in range(3))
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK]
        magnitude, t, tail = magnitudes[: block.size], slopes[: block.size], tails[: block.size]
        np.abs(block, out=magnitude)
        np.multiply(magnitude, _T_SLOPE, out=t)
        t += np.float32(1.0)
        np.reciprocal(t, out=t)
        np.multiply(t, _HALF_POLYNOMIAL[-1], out=tail)
        for coefficient in _HALF_POLYNOMIAL[-2::-1]:
            tail += coefficient
            tail *= t
        tail *= magnitude
        magnitude *= magnitude
        magnitude *= np.float32(-0.5)
        np.exp(magnitude, out=magnitude)
        tail *= magnitude
        np.maximum(block, np.float32(0.0), out=block)
        block -= tail
