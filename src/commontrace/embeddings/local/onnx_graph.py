"""Builder of ONNX graphs, with the operations of a BERT encoder (ADR 0024)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

Array = NDArray[np.float32]

_OPSET = 23
_IR_VERSION = 11
"""The oldest version of the format that has this operator set."""
_OF_ONNXRUNTIME = "com.microsoft"


class Graph:
    """A graph under construction. Methods return names of values, which have shape (tokens, features), float32."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._tensors: list[TensorProto] = []
        self._last_axis = self.tensor(np.array([-1], np.int64))
        self._zero = self.tensor(np.array(0, np.float32))
        self._one = self.tensor(np.array(1, np.float32))
        self._least = self.tensor(np.array(1e-20, np.float32))
        self._step = self.tensor(np.array(1 / 255, np.float32))

    def tensor(self, values: NDArray[np.generic]) -> str:
        """Adds a constant of any shape."""
        name = f"tensor_{len(self._tensors)}"
        self._tensors.append(numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), name))
        return name

    def node(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Adds an operator with one output."""
        return self.nodes(kind, *inputs, outputs=1, domain=domain, **attributes)[0]

    def nodes(self, kind: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any) -> list[str]:
        """Adds an operator with several outputs."""
        names = [f"value_{len(self._nodes)}_{number}" for number in range(outputs)]
        self._nodes.append(helper.make_node(kind, inputs, names, domain=domain, **attributes))
        return names

    def norm(self, values: str, gain: Array, bias: Array, epsilon: float) -> str:
        """Adds a layer normalisation of each token's features."""
        return self.node("LayerNormalization", values, self.tensor(gain), self.tensor(bias), axis=-1, epsilon=epsilon)

    def heads(self, values: str, heads: int, *order: int) -> str:
        """Divides each token's features among heads; `order` permutes the axes (token, head, feature)."""
        divided = self.node("Reshape", values, self.tensor(np.array([0, heads, -1], np.int64)))
        return self.node("Transpose", divided, perm=order)

    def int8_product(self, values: str, weight: Array, bias: Array) -> str:
        """Adds values @ weight.T + bias, computed with 8-bit integers; `weight` has shape (out, in).

        Each row of the weight is rounded to 255 steps around 0, each token to 256 between its own least and greatest
        value (Jacob et al. 2018, arXiv:1712.05877, section 2.1: value = scale * (rounded - zero)): no token's result
        depends on another's.
        """
        scale_of_rows = np.maximum(np.abs(weight).max(axis=1), np.float32(1e-20)) / np.float32(127)
        rounded = np.rint(weight / scale_of_rows[:, None]).astype(np.int8)
        sums_of_rows = rounded.sum(axis=1, dtype=np.int64).astype(np.float32) * scale_of_rows

        # A node takes a microsecond or two whatever it computes, a tenth of what a product of ten tokens takes: columns
        # need no change of shape, and a product with one inner feature subtracts what two nodes else would.
        least = self.node("Min", self.node("ReduceMin", values, self._last_axis, keepdims=1), self._zero)
        greatest = self.node("Max", self.node("ReduceMax", values, self._last_axis, keepdims=1), self._least)
        scale = self.node("Mul", self.node("Sub", greatest, least), self._step)
        zero = self.node("Round", self.node("Neg", self.node("Div", least, scale)))
        zero_byte = self.node("Cast", zero, to=TensorProto.UINT8)
        # In blocks of all features: a scale for each token.
        steps = self.node("QuantizeLinear", values, scale, zero_byte, axis=1, block_size=weight.shape[1])
        product = self.node(
            "MatMulIntegerToFloat",
            steps,
            self.tensor(rounded.T),
            self._one,
            self.tensor(scale_of_rows),
            domain=_OF_ONNXRUNTIME,
        )
        # The product used the stored integers; the token's zero point is subtracted once for every weight.
        shifted = self.node("Gemm", zero, self.tensor(-sums_of_rows[None]), product)
        return self.node("Add", self.node("Mul", shifted, scale), self.tensor(bias))

    def serialised(self, *, result: str, features: int) -> bytes:
        """Returns the model. Inputs: `embedded`, float32 (tokens, features); `of_other_texts`, (tokens, tokens).

        The latter is the attention mask: 0 where two tokens are of one text, else minus infinity.
        """
        graph = helper.make_graph(
            self._nodes,
            "bert",
            [
                helper.make_tensor_value_info("embedded", TensorProto.FLOAT, ["tokens", features]),
                helper.make_tensor_value_info("of_other_texts", TensorProto.FLOAT, ["tokens", "tokens"]),
            ],
            [helper.make_tensor_value_info(result, TensorProto.FLOAT, ["tokens", features])],
            self._tensors,
        )
        operators = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_OF_ONNXRUNTIME, 1)]
        model = helper.make_model(graph, opset_imports=operators, ir_version=_IR_VERSION)
        serialised: bytes = model.SerializeToString()
        return serialised
