"""Translation and validation of vectors."""

import math
from collections.abc import Iterator

import numpy as np

from commontrace.domain import limits
from commontrace.embeddings.embedder import Vector, euclidean_norm
from commontrace.plurals import counted
from commontrace.rpc.validation.invalid_request import Violation
from commontrace.v1 import error_reason_pb2 as reasons
from commontrace.v1 import vector_pb2


def vector_array(vector: vector_pb2.Vector) -> Vector:
    """Returns the components, shape (n,), float32. The length of `packed_f32` must be divisible by four."""
    if vector.WhichOneof("components") == "packed_f32":
        return np.frombuffer(vector.packed_f32, dtype="<f4")
    return np.array(vector.float_vector.values, dtype=np.float32)


def vector_violations(field: str, vector: vector_pb2.Vector, *, model_id: str, dimensions: int) -> Iterator[Violation]:
    """Yields the violations that keep the vector from being compared with those of the model."""
    if not vector.model_id:
        message = f"is required: this server's vectors come from {model_id}"
        yield Violation(field=f"{field}.model_id", reason=reasons.ERROR_REASON_FIELD_REQUIRED, message=message)
    elif vector.model_id != model_id:
        yield Violation(
            field=f"{field}.model_id",
            reason=reasons.ERROR_REASON_EMBEDDING_MODEL_MISMATCH,
            message=f"is not {model_id}, the model of this server's vectors",
            metadata={"expected": model_id, "actual": vector.model_id[: limits.AGENT_MODEL_CHARACTERS]},
        )
    if vector.WhichOneof("components") is None:
        message = "is required: set packed_f32 or float_vector"
        yield Violation(field=f"{field}.components", reason=reasons.ERROR_REASON_FIELD_REQUIRED, message=message)
        return
    packed = len(vector.packed_f32)
    if packed % 4:
        yield _unusable(f"{field}.packed_f32", "DIMENSIONS", counted(4 * dimensions, "bytes"), counted(packed, "bytes"))
        return
    components = vector_array(vector)
    if len(components) != dimensions:
        yield _unusable(field, "DIMENSIONS", counted(dimensions, "components"), counted(len(components), "components"))
    # The norm is finite if every component is: looking at each is needed for the message alone.
    elif not limits.VECTOR_NORM_MINIMUM <= (norm := euclidean_norm(components)) <= limits.VECTOR_NORM_MAXIMUM:
        if math.isfinite(norm):
            bounds = f"a norm within {limits.VECTOR_NORM_MINIMUM:g}..{limits.VECTOR_NORM_MAXIMUM:g}"
            yield _unusable(field, "NORM", bounds, f"{norm:g}")
        else:
            position = int(np.flatnonzero(~np.isfinite(components))[0])
            yield _unusable(field, "NOT_FINITE", "finite components", f"{components[position]} at position {position}")


def _unusable(field: str, problem: str, expected: str, actual: str) -> Violation:
    return Violation(
        field=field,
        reason=reasons.ERROR_REASON_INVALID_VECTOR,
        message=f"must have {expected}; it has {actual}",
        metadata={"problem": problem, "expected": expected, "actual": actual},
    )
