"""Model directories with few random weights, and an independent computation of what they must answer."""

import json
import math
import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from commontrace.embeddings.local.bert import Architecture

Weights = dict[str, NDArray[np.float32]]
Exact = NDArray[np.float64]

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghij", "query", ":", "A"]
SIZES = Architecture(hidden_size=24, layers=3, heads=4, intermediate_size=40, epsilon=1e-7, pooling="mean")
POSITIONS = 20

Precision = Literal["F32", "F16", "BF16"]


def exact_gelu(values: Exact) -> Exact:
    erf: Exact = np.array([math.erf(value) for value in (values / math.sqrt(2)).flat]).reshape(values.shape)
    return values * (1.0 + erf) / 2.0


def reference(weights: Weights, token_ids: NDArray[np.intp], sizes: Architecture) -> Exact:
    """The slow forward pass in float64: token after token as rows, head after head, nothing fused."""

    def linear(name: str, rows: Exact) -> Exact:
        product: Exact = rows @ weights[f"{name}.weight"].astype(np.float64).T
        product += weights[f"{name}.bias"]
        return product

    def norm(name: str, rows: Exact) -> Exact:
        centred = rows - rows.mean(axis=1, keepdims=True)
        scaled: Exact = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + sizes.epsilon)
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    rows: Exact = weights["embeddings.word_embeddings.weight"][token_ids].astype(np.float64)
    rows = rows + weights["embeddings.position_embeddings.weight"][: len(token_ids)]
    rows = rows + weights["embeddings.token_type_embeddings.weight"][0]
    rows = norm("embeddings.LayerNorm", rows)
    for number in range(sizes.layers):
        layer = f"encoder.layer.{number}"
        query, key, value = (linear(f"{layer}.attention.self.{part}", rows) for part in ("query", "key", "value"))
        context = np.zeros_like(rows)
        width = rows.shape[1] // sizes.heads
        for head in range(sizes.heads):
            part = slice(head * width, (head + 1) * width)
            scores = np.exp(query[:, part] @ key[:, part].T / math.sqrt(width))
            context[:, part] = scores / scores.sum(axis=1, keepdims=True) @ value[:, part]
        attended = linear(f"{layer}.attention.output.dense", context) + rows
        attended = norm(f"{layer}.attention.output.LayerNorm", attended)
        hidden = exact_gelu(linear(f"{layer}.intermediate.dense", attended))
        rows = norm(f"{layer}.output.LayerNorm", linear(f"{layer}.output.dense", hidden) + attended)
    pooled: Exact = rows.mean(axis=0) if sizes.pooling == "mean" else rows[0]
    return pooled / math.sqrt(float((pooled**2).sum()))


def random_weights(sizes: Architecture = SIZES, *, seed: int = 0) -> Weights:
    """A checkpoint's tensors under its names."""
    random = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(WORDS), sizes.hidden_size),
        "embeddings.position_embeddings.weight": (POSITIONS, sizes.hidden_size),
        "embeddings.token_type_embeddings.weight": (2, sizes.hidden_size),
        **_norm_shapes("embeddings.LayerNorm", sizes.hidden_size),
    }
    for number in range(sizes.layers):
        layer, hidden, wide = f"encoder.layer.{number}", sizes.hidden_size, sizes.intermediate_size
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes |= {f"{layer}.{part}.weight": (hidden, hidden), f"{layer}.{part}.bias": (hidden,)}
        shapes |= {f"{layer}.intermediate.dense.weight": (wide, hidden), f"{layer}.intermediate.dense.bias": (wide,)}
        shapes |= {f"{layer}.output.dense.weight": (hidden, wide), f"{layer}.output.dense.bias": (hidden,)}
        shapes |= _norm_shapes(f"{layer}.attention.output.LayerNorm", hidden)
        shapes |= _norm_shapes(f"{layer}.output.LayerNorm", hidden)
    return {name: random.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def rounded(weights: Weights, precision: Precision) -> Weights:
    """What is left of the numbers in that precision."""
    if precision == "F16":
        return {name: weight.astype(np.float16).astype(np.float32) for name, weight in weights.items()}
    if precision == "BF16":
        return {name: (weight.view(np.uint32) & 0xFFFF0000).view(np.float32) for name, weight in weights.items()}
    return weights


def write_weights(path: Path, weights: Weights, precision: Precision = "F32") -> None:
    """A safetensors file, written by hand: numpy does not know brain floats."""
    stored = {"F32": _single, "F16": _half, "BF16": _brain}[precision]
    blobs: dict[str, tuple[str, list[int], bytes]] = {
        name: (precision, list(weight.shape), stored(weight)) for name, weight in weights.items()
    }
    # Real checkpoints carry it, and it is no weight.
    blobs["embeddings.position_ids"] = ("I64", [1, POSITIONS], np.arange(POSITIONS).astype("<i8").tobytes())
    header, end = {}, 0
    for name, (kind, shape, data) in blobs.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, end + len(data)]}
        end += len(data)
    head = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + b"".join(data for _, _, data in blobs.values()))


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_model(directory: Path, *, max_tokens: int | None = 8, lowercase: bool = True) -> Path:
    """A whole model directory as sentence-transformers writes it; returns it."""
    directory.mkdir(parents=True, exist_ok=True)
    write_weights(directory / "model.safetensors", random_weights())
    write_json(directory / "config.json", config())
    write_json(directory / "tokenizer.json", tokenizer(lowercase=lowercase))
    write_json(directory / "modules.json", modules("Transformer", "Pooling", "Normalize"))
    write_json(directory / "1_Pooling/config.json", {"word_embedding_dimension": 24, "pooling_mode_mean_tokens": True})
    write_json(directory / "sentence_bert_config.json", {"max_seq_length": max_tokens, "do_lower_case": False})
    return directory


def config(**changes: Any) -> dict[str, Any]:
    return {
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": SIZES.hidden_size,
        "num_hidden_layers": SIZES.layers,
        "num_attention_heads": SIZES.heads,
        "intermediate_size": SIZES.intermediate_size,
        "max_position_embeddings": POSITIONS,
        "layer_norm_eps": SIZES.epsilon,
    } | changes


def modules(*kinds: str) -> list[dict[str, Any]]:
    paths = ["", *(f"{number}_{kind}" for number, kind in enumerate(kinds[1:], 1))]
    return [
        {"idx": number, "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]


def tokenizer(*, lowercase: bool = True) -> dict[str, Any]:
    special = [
        {"id": number, "content": word, "special": True, "single_word": False, "lstrip": False, "rstrip": False}
        | {"normalized": False}
        for number, word in enumerate(WORDS[:4])
    ]
    around = [{"SpecialToken": {"id": word, "type_id": 0}} for word in ("[CLS]", "[SEP]")]
    return {
        "version": "1.0",
        "truncation": {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": None,
        "added_tokens": special,
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [around[0], {"Sequence": {"id": "A", "type_id": 0}}, around[1]],
            "pair": [around[0], {"Sequence": {"id": "A", "type_id": 0}}, around[1]],
            "special_tokens": {word: {"id": word, "ids": [WORDS.index(word)], "tokens": [word]} for word in WORDS[2:4]},
        },
        "decoder": None,
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {word: number for number, word in enumerate(WORDS)},
        },
    }


def _norm_shapes(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def _single(weight: NDArray[np.float32]) -> bytes:
    return weight.astype("<f4").tobytes()


def _half(weight: NDArray[np.float32]) -> bytes:
    return weight.astype("<f2").tobytes()


def _brain(weight: NDArray[np.float32]) -> bytes:
    return (weight.view(np.uint32) >> 16).astype("<u2").tobytes()
