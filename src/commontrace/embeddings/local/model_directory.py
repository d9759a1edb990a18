"""Model directories in the format of sentence-transformers, with a BERT encoder (ADR 0012).

No Python of a directory is run: modules other than the three known ones are refused.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from commontrace.embeddings.embedder import ModelNotUsable
from commontrace.embeddings.local.bert import Architecture
from commontrace.settings import MAX_DIMENSIONS

WEIGHTS_FILE = "model.safetensors"
TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "config.json"

SUPPORTED = (
    f"A model directory is one of sentence-transformers: a BERT encoder ({CONFIG_FILE}, {WEIGHTS_FILE},"
    f" {TOKENIZER_FILE}; absolute positions, gelu, at most {MAX_DIMENSIONS} dimensions), mean or cls pooling,"
    " cosine similarity."
)

_MODULES = ("Transformer", "Pooling", "Normalize")
_POOLINGS: Mapping[str, Literal["mean", "cls"]] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "mean": "mean",
    "cls": "cls",
}
_LARGEST_SIZE = 1 << 20
SPECIAL_TOKENS = 2
"""The tokens that a BERT tokenizer puts around every text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelDirectory:
    """The configuration of a model, as its files declare it.

    `max_tokens` is what the model reads, special tokens included. `prompt` is prepended to every text; `unused_prompts`
    are the names of prompts for some texts only. `lowercases` comes on top of the tokenizer's own rule.
    """

    weights: Path
    tokenizer: Path
    architecture: Architecture
    max_tokens: int
    lowercases: bool
    prompt: str
    unused_prompts: tuple[str, ...]


def read_model_directory(directory: Path) -> ModelDirectory:
    """Reads the configuration, without weights and vocabulary. Raises ModelNotUsable, which says what is supported."""
    encoder, pooling, normalizes = _modules(directory)
    prompt, unused = _prompts(directory / "config_sentence_transformers.json", normalizes=normalizes)
    config_path = encoder / CONFIG_FILE
    config = _object(config_path)
    for key, expected in {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}.items():
        found = config.get(key, "absolute" if key == "position_embedding_type" else None)
        if found != expected:
            raise ModelNotUsable(f"{config_path} has {key} = {_shown(found)}, not {expected!r}. {SUPPORTED}")
    if config.get("is_decoder") or config.get("add_cross_attention"):
        raise ModelNotUsable(f"{config_path} describes a decoder. {SUPPORTED}")
    hidden_size = _integer(config, "hidden_size", config_path, MAX_DIMENSIONS)
    heads = _integer(config, "num_attention_heads", config_path, hidden_size)
    if hidden_size % heads:
        raise ModelNotUsable(f"{config_path} divides hidden_size {hidden_size} by {heads} heads, which leaves a rest")
    architecture = Architecture(
        hidden_size=hidden_size,
        layers=_integer(config, "num_hidden_layers", config_path, _LARGEST_SIZE),
        heads=heads,
        intermediate_size=_integer(config, "intermediate_size", config_path, _LARGEST_SIZE),
        epsilon=_epsilon(config, config_path),
        pooling=_pooling(pooling, hidden_size, has_prompt=bool(prompt)),
    )
    sentences_path = encoder / "sentence_bert_config.json"
    sentences = _object(sentences_path, optional=True)
    return ModelDirectory(
        weights=encoder / WEIGHTS_FILE,
        tokenizer=encoder / TOKENIZER_FILE,
        architecture=architecture,
        max_tokens=_max_tokens(sentences, sentences_path, _integer(config, "max_position_embeddings", config_path)),
        lowercases=sentences.get("do_lower_case") is True,
        prompt=prompt,
        unused_prompts=unused,
    )


def _modules(directory: Path) -> tuple[Path, Path | None, bool]:
    """Returns the paths of encoder and pooling, and whether vectors are scaled to unit length."""
    path = directory / "modules.json"
    modules = _json(path, optional=True)
    if modules is None:
        # A plain BERT. Mean pooling is the default of sentence-transformers as well.
        return directory, None, False
    try:
        types = [str(module["type"]) for module in modules]
        places = [PurePosixPath(module["path"]) for module in modules]
    except (KeyError, TypeError) as error:
        raise ModelNotUsable(f"{path} is not a list of modules. {SUPPORTED}") from error
    kinds = tuple(kind.rpartition(".")[2] for kind in types)
    if kinds not in {_MODULES, _MODULES[:2]} or not all(kind.startswith("sentence_transformers.") for kind in types):
        raise ModelNotUsable(
            f"{path} lists {', '.join(types)[:300]}: only {', '.join(_MODULES)} are known. {SUPPORTED}"
        )
    if any(place.is_absolute() or ".." in place.parts for place in places):
        raise ModelNotUsable(f"{path} names a path outside the directory")
    return directory / places[0], directory / places[1] / CONFIG_FILE, len(kinds) == len(_MODULES)


def _pooling(path: Path | None, hidden_size: int, *, has_prompt: bool) -> Literal["mean", "cls"]:
    if path is None:
        return "mean"
    config = _object(path)
    named = config.get("pooling_mode")
    modes = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    if named is not None:
        modes.extend(named if isinstance(named, list) else [named])
    if len(modes) != 1 or modes[0] not in _POOLINGS:
        raise ModelNotUsable(f"{path} asks for pooling by {_shown(modes)}. {SUPPORTED}")
    if config.get("word_embedding_dimension", hidden_size) != hidden_size:
        raise ModelNotUsable(f"{path} is for vectors of another length than the encoder's {hidden_size}")
    if has_prompt and config.get("include_prompt") is False:
        raise ModelNotUsable(f"{path} leaves the prompt out of the pooling, which is not supported. {SUPPORTED}")
    return _POOLINGS[modes[0]]


def _prompts(path: Path, *, normalizes: bool) -> tuple[str, tuple[str, ...]]:
    config = _object(path, optional=True)
    similarity = config.get("similarity_fn_name")
    if not (similarity in (None, "cosine") or (normalizes and similarity in ("dot", "dot_product", "euclidean"))):
        raise ModelNotUsable(f"{path} has similarity_fn_name = {_shown(similarity)}. {SUPPORTED}")
    prompts, default = config.get("prompts") or {}, config.get("default_prompt_name")
    if not (isinstance(prompts, dict) and all(isinstance(prompt, str) for prompt in prompts.values())):
        raise ModelNotUsable(f"{path} has prompts that are not texts")
    if default is not None and default not in prompts:
        raise ModelNotUsable(f"{path} has default_prompt_name = {_shown(default)}, which is not among its prompts")
    unused = tuple(name for name, prompt in prompts.items() if prompt and name != default)
    return prompts.get(default, ""), unused


def _max_tokens(sentences: Mapping[str, Any], path: Path, positions: int) -> int:
    if sentences.get("max_seq_length") is not None:
        return _integer(sentences, "max_seq_length", path, positions, least=SPECIAL_TOKENS + 1)
    tokenizer = _object(path.with_name("tokenizer_config.json"), optional=True)
    # Where it was not configured, this is a huge number.
    longest = tokenizer.get("model_max_length")
    return min(positions, longest) if isinstance(longest, int) and longest > SPECIAL_TOKENS else positions


def _integer(config: Mapping[str, Any], key: str, path: Path, most: int = _LARGEST_SIZE, *, least: int = 1) -> int:
    value = config.get(key)
    if type(value) is not int or not least <= value <= most:
        raise ModelNotUsable(f"{path} has {key} = {_shown(value)}, not a number from {least} to {most}. {SUPPORTED}")
    return value


def _epsilon(config: Mapping[str, Any], path: Path) -> float:
    value = config.get("layer_norm_eps", 1e-12)
    if not isinstance(value, float) or not 0 < value < 1:
        raise ModelNotUsable(f"{path} has layer_norm_eps = {_shown(value)}, not a number between 0 and 1")
    return value


def _object(path: Path, *, optional: bool = False) -> Mapping[str, Any]:
    found = _json(path, optional=optional)
    if found is None and optional:
        return {}
    if not isinstance(found, dict):
        raise ModelNotUsable(f"{path} is not a JSON object. {SUPPORTED}")
    return found


def _json(path: Path, *, optional: bool = False) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        if optional and isinstance(error, FileNotFoundError):
            return None
        raise ModelNotUsable(f"{path} cannot be read ({error.strerror}). {SUPPORTED}") from error
    except (ValueError, RecursionError) as error:
        raise ModelNotUsable(f"{path} is not JSON. {SUPPORTED}") from error


def _shown(value: object) -> str:
    return repr(value)[:60]
