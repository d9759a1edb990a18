"""Weights of a checkpoint, from a safetensors file, in single precision."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize, safe_open

from commontrace.embeddings.embedder import ModelNotUsable

Array = NDArray[np.float32]


def read_weights(path: Path) -> dict[str, Array]:
    """Reads the tensors of 32-bit, 16-bit and bfloat16 numbers, by name.

    Raises ModelNotUsable if the file cannot be read or holds a number that is not finite.
    """
    try:
        weights = _weights(path)
    except (OSError, SafetensorError) as error:
        raise ModelNotUsable(f"{path} cannot be read as a safetensors file ({error})") from error
    for name, weight in weights.items():
        if not np.isfinite(weight.sum()):
            raise ModelNotUsable(f"{path} holds numbers that are not finite, in {name}")
    return weights


def _weights(path: Path) -> dict[str, Array]:
    with safe_open(path, framework="np") as file:
        # Tensors of other types are no weights: some checkpoints have integer position ids.
        kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - not a mapping
        weights = {
            name: file.get_tensor(name).astype(np.float32, copy=False)
            for name, kind in kinds.items()
            if kind in {"F32", "F16"}
        }
    if "BF16" in kinds.values():
        weights |= _brain_floats(path)
    return weights


def _brain_floats(path: Path) -> dict[str, Array]:
    # numpy has no bfloat16, which is the upper half of a float32.
    tensors: list[tuple[str, dict[str, Any]]] = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    return {
        name: (np.frombuffer(tensor["data"], "<u2").astype(np.uint32) << 16).view(np.float32).reshape(tensor["shape"])
        for name, tensor in tensors
        if tensor["dtype"] == "BF16"
    }
