"""Vectors as requests carry them."""

from typing import TYPE_CHECKING

from commontrace.v1 import vector_pb2

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def vector(components: "ArrayLike", *, model_id: str) -> vector_pb2.Vector:
    """Packs numbers, shape (dimensions,), as the server reads them fastest. Raises ValueError for another shape."""
    # Imported here: most callers send text, and the import takes longer than their call.
    import numpy as np

    packed = np.asarray(components, dtype="<f4")
    if packed.ndim != 1:
        raise ValueError(f"a vector must have the shape (dimensions,), not {packed.shape}")
    return vector_pb2.Vector(packed_f32=packed.tobytes(), model_id=model_id)
