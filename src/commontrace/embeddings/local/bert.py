"""BERT encoder: from token ids to token vectors, and from those to one sentence vector a text.

Architecture: Devlin et al. 2018, "BERT" (arXiv:1810.04805), post-norm, absolute positions. Pooling after Reimers and
Gurevych 2019, "Sentence-BERT" (arXiv:1908.10084): the mean of the last layer's token vectors, or the first of them,
scaled to unit length.

The layers are an ONNX graph, built from the checkpoint in memory and run by onnxruntime (ADR 0024). The texts of a
batch are concatenated without padding, and an attention mask keeps each token to its own text.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnxruntime  # type: ignore[import-untyped] # it ships no types
from numpy.typing import NDArray

from commontrace.embeddings.local.onnx_graph import Graph

Array = NDArray[np.float32]

_ERRORS_ONLY = 3
# Attention scores grow with the square of a pass's tokens. And longer sums are computed in parts, which would make a
# text's vector depend on its place in the batch.
_TOKENS_A_PASS = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """The sizes of an encoder, and the pooling of its token vectors."""

    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int
    epsilon: float
    pooling: Literal["mean", "cls"]


class Bert:
    """A BERT encoder. Immutable: any number of threads may call `encode`, and each keeps one core busy.

    `weights` maps a checkpoint's names, with or without a leading "bert.", to float32 arrays. Raises KeyError if one
    is missing, ValueError if one has another shape than `architecture` says.
    """

    def __init__(self, weights: Mapping[str, Array], architecture: Architecture) -> None:
        part = _Part(weights, "bert." if "bert.embeddings.word_embeddings.weight" in weights else "", architecture)
        hidden = architecture.hidden_size
        embeddings = part / "embeddings."
        self._words = embeddings.take("word_embeddings.weight", None, hidden)
        segment = embeddings.take("token_type_embeddings.weight", None, hidden)[0]
        self._positions: Array = embeddings.take("position_embeddings.weight", None, hidden) + segment
        self._pools_mean = architecture.pooling == "mean"
        graph = Graph()
        values = embeddings.norm("LayerNorm", graph, "embedded")
        for number in range(architecture.layers):
            values = _layer(part / f"encoder.layer.{number}.", graph, values)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        self._session = onnxruntime.InferenceSession(
            graph.serialised(result=values, features=hidden), options, providers=["CPUExecutionProvider"]
        )

    @property
    def dimensions(self) -> int:
        """The length of the sentence vector."""
        return int(self._words.shape[1])

    @property
    def vocabulary(self) -> int:
        """The size of the vocabulary: token ids are smaller."""
        return len(self._words)

    @property
    def positions(self) -> int:
        """The most tokens of a text that the model reads, special ones included."""
        return len(self._positions)

    def encode(self, texts: Sequence[Sequence[int]]) -> list[Array]:
        """Returns the token vectors of texts of one or more token ids, special ones included: the last layer.

        Each has shape (tokens, dimensions). A text's vectors do not depend on the others. Raises IndexError for an id
        beyond the vocabulary, ValueError for more ids in a text than there are positions.
        """
        return [vectors for some in _passes(texts) for vectors in self._encode_at_once(some)]

    def pool(self, token_vectors: Array) -> Array:
        """Returns a text's vector, of shape (dimensions,) and unit length, from those of its tokens."""
        # The sum instead of the mean: they have the same direction, and the norm is divided out.
        pooled: Array = token_vectors.sum(axis=0) if self._pools_mean else token_vectors[0]
        return pooled / np.linalg.norm(pooled)

    def _encode_at_once(self, texts: Sequence[Sequence[int]]) -> list[Array]:
        lengths = [len(text) for text in texts]
        embedded = np.concatenate([self._words[text] + self._positions[: len(text)] for text in map(np.asarray, texts)])
        text_of_token = np.repeat(np.arange(len(texts)), lengths)
        of_other_texts = np.where(text_of_token[:, None] == text_of_token, np.float32(0), np.float32(-np.inf))
        [values] = self._session.run(None, {"embedded": embedded, "of_other_texts": of_other_texts})
        return np.split(values, np.cumsum(lengths[:-1]))


def _passes(texts: Sequence[Sequence[int]]) -> Iterator[Sequence[Sequence[int]]]:
    """Divides texts, in order, among passes through the layers, each of few tokens or of one text."""
    begin = tokens = 0
    for end, text in enumerate(texts):
        if tokens and tokens + len(text) > _TOKENS_A_PASS:
            yield texts[begin:end]
            begin, tokens = end, 0
        tokens += len(text)
    yield texts[begin:]


@dataclass(frozen=True, slots=True)
class _Part:
    """The weights of a checkpoint whose names begin with `name`."""

    weights: Mapping[str, Array]
    name: str
    architecture: Architecture

    def __truediv__(self, name: str) -> "_Part":
        return _Part(self.weights, self.name + name, self.architecture)

    def take(self, name: str, *shape: int | None) -> Array:
        """Returns the tensor of a shape, None standing for any size but 0. Raises KeyError, ValueError."""
        found = self.weights[self.name + name]
        expected = tuple(size if wanted is None else wanted for size, wanted in zip(found.shape, shape, strict=False))
        if found.ndim != len(shape) or found.shape != expected or not found.size:
            raise ValueError(f"{self.name + name} has shape {found.shape}, not {shape}")
        return found

    def linear(self, name: str, outputs: int, inputs: int) -> tuple[Array, Array]:
        """Returns weight (out, in) and bias (out,)."""
        return self.take(f"{name}.weight", outputs, inputs), self.take(f"{name}.bias", outputs)

    def norm(self, name: str, graph: Graph, values: str) -> str:
        hidden = self.architecture.hidden_size
        gain, bias = self.take(f"{name}.weight", hidden), self.take(f"{name}.bias", hidden)
        return graph.norm(values, gain, bias, self.architecture.epsilon)


def _layer(part: _Part, graph: Graph, values: str) -> str:
    sizes = part.architecture
    hidden, wide = sizes.hidden_size, sizes.intermediate_size
    attended = graph.int8_product(
        _attention(part, graph, values), *part.linear("attention.output.dense", hidden, hidden)
    )
    values = part.norm("attention.output.LayerNorm", graph, graph.node("Add", attended, values))
    raised = graph.node("Gelu", graph.int8_product(values, *part.linear("intermediate.dense", wide, hidden)))
    lowered = graph.int8_product(raised, *part.linear("output.dense", hidden, wide))
    return part.norm("output.LayerNorm", graph, graph.node("Add", lowered, values))


def _attention(part: _Part, graph: Graph, values: str) -> str:
    hidden, heads = part.architecture.hidden_size, part.architecture.heads
    width = hidden // heads
    query, key, value = (part.linear(f"attention.self.{name}", hidden, hidden) for name in ("query", "key", "value"))
    # The attention's factor 1 / sqrt(head size), applied once to the weights instead of to every score.
    scale = np.float32(width**-0.5)
    weight, bias = map(
        np.concatenate, zip((query[0] * scale, query[1] * scale), key, _with_ones(*value, heads), strict=True)
    )
    sizes = graph.tensor(np.array([hidden, hidden, hidden + heads], np.int64))
    queries, keys, values = graph.nodes("Split", graph.int8_product(values, weight, bias), sizes, outputs=3, axis=1)
    scores = graph.node("MatMul", graph.heads(queries, heads, 1, 0, 2), graph.heads(keys, heads, 1, 2, 0))
    scores = graph.node("Add", scores, "of_other_texts")
    greatest = graph.node("ReduceMax", scores, graph.tensor(np.array([-1], np.int64)))
    weights = graph.node("Exp", graph.node("Sub", scores, greatest))
    sums = graph.node("MatMul", weights, graph.heads(values, heads, 1, 0, 2))
    context, total = graph.nodes("Split", sums, graph.tensor(np.array([width, 1], np.int64)), outputs=2, axis=-1)
    context = graph.node("Transpose", graph.node("Div", context, total), perm=[1, 0, 2])
    return graph.node("Reshape", context, graph.tensor(np.array([0, hidden], np.int64)))


def _with_ones(weight: Array, bias: Array, heads: int) -> tuple[Array, Array]:
    """Adds to every head's values a feature that is always 1, whose weighted sum is the softmax's denominator.

    A softmax operator would sum in an order that depends on the text's place in the batch, and so would its vector.
    """
    by_head = weight.reshape(heads, -1, weight.shape[1])
    zeros = np.zeros((heads, 1, weight.shape[1]), np.float32)
    ones = np.ones((heads, 1), np.float32)
    return (
        np.concatenate([by_head, zeros], axis=1).reshape(-1, weight.shape[1]),
        np.concatenate([bias.reshape(heads, -1), ones], axis=1).reshape(-1),
    )
