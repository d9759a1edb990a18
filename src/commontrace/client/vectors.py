"""Vector packing for requests: little-endian float32, without numpy, which the base install lacks."""

import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, SupportsFloat

from commontrace.v1 import vector_pb2


def vector(components: Iterable[SupportsFloat], *, model_id: str) -> vector_pb2.Vector:
    """Packs numbers, shape (dimensions,), as the server reads them fastest. Raises ValueError for another shape.

    `components` is a sequence of numbers, or a numpy array or tensor of any numeric type.
    """
    shape = _shape(components)
    if len(shape) != 1:
        raise ValueError(f"a vector must have the shape (dimensions,), not {shape}")
    packed = array("f", map(float, components))
    if sys.byteorder == "big":
        packed.byteswap()
    return vector_pb2.Vector(packed_f32=packed.tobytes(), model_id=model_id)


def _shape(components: Any) -> tuple[int, ...]:
    """Returns the shape that numpy would give to an array, tensor or nested sequence; () for anything else."""
    if hasattr(components, "shape"):
        return tuple(components.shape)
    if isinstance(components, str | bytes) or not isinstance(components, Sequence):
        return ()
    return len(components), *(_shape(components[0]) if components else ())
