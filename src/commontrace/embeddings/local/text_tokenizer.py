"""Text tokenizer: texts as token ids, in the windows that a local model reads at once (ADR 0058)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from commontrace.embeddings.embedder import ModelNotUsable
from commontrace.embeddings.local.model_directory import SPECIAL_TOKENS, SUPPORTED, ModelDirectory
from commontrace.embeddings.local.text_reading import WINDOWS


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizedText:
    """The token ids of a text by window, and those of the prompt before each; `total` counts all tokens of the text."""

    prompt: Sequence[int]
    windows: Sequence[Sequence[int]]
    total: int

    @property
    def window_lengths(self) -> list[int]:
        """The number of tokens in each window."""
        return [len(window) for window in self.windows]

    @property
    def token_ids(self) -> NDArray[np.intp]:
        """The token ids of all windows, without special tokens and prompt: shape (tokens read,)."""
        return np.concatenate(self.windows).astype(np.intp)


class TextTokenizer:
    """A tokenizer with a model's prompt and window.

    `window` is the most tokens of a text that the model reads at once, without special tokens and prompt. Raises
    ModelNotUsable for a tokenizer that does not put one token before a text and one behind it, and where the prompt
    leaves no room for a text.
    """

    def __init__(self, tokenizer: Tokenizer, files: ModelDirectory, *, name: str) -> None:
        # The tokenizer's file may ask for truncation and padding. Here texts are truncated after counting, not padded.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._prompt = files.prompt
        self._lowercases = files.lowercases
        special = tokenizer.encode("").ids
        if len(special) != SPECIAL_TOKENS:
            raise ModelNotUsable(f"{files.tokenizer} puts {len(special)} tokens around a text, not 2. {SUPPORTED}")
        self._first, self._last = special
        self._prompt_length = len(self._token_ids(""))
        self.window = files.max_tokens - SPECIAL_TOKENS - self._prompt_length
        if self.window <= 0:
            raise ModelNotUsable(f"the prompt of {name} leaves no room for a text")

    def tokenize(self, text: str) -> TokenizedText:
        """Returns the tokens of a text that are read, in one or two windows, and counts all of them."""
        # Cut off, and not tokenized by itself: some tokenizers join the prompt's last token with the text.
        token_ids = self._token_ids(text)
        prompt, own = token_ids[: self._prompt_length], token_ids[self._prompt_length :]
        read = own[: WINDOWS * self.window]
        starts = range(0, max(len(read), 1), self.window)
        return TokenizedText(
            prompt=prompt, windows=[read[start : start + self.window] for start in starts], total=len(own)
        )

    def framed(self, text: TokenizedText) -> Iterator[list[int]]:
        """Yields what the model reads for each window: special tokens, prompt and window."""
        for window in text.windows:
            yield [self._first, *text.prompt, *window, self._last]

    def _token_ids(self, text: str) -> list[int]:
        readable = self._prompt + text.encode("utf-8", errors="replace").decode("utf-8")
        if self._lowercases:
            readable = readable.lower()
        # `Tokenizer.encode` holds the GIL: 0.9 s for 1 MB. The batch call releases it.
        [encoding] = self._tokenizer.encode_batch_fast([readable], add_special_tokens=False)
        ids: list[int] = encoding.ids
        return ids


def load_tokenizer(path: Path, *, vocabulary: int) -> Tokenizer:
    """Loads a tokenizer whose ids are below `vocabulary`. Raises ModelNotUsable."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise ModelNotUsable(f"{path} cannot be used ({error}). {SUPPORTED}") from error
    largest = max(tokenizer.get_vocab().values(), default=0)
    if largest >= vocabulary:
        raise ModelNotUsable(f"{path} has a token numbered {largest}, the weights end at {vocabulary - 1}")
    return tokenizer
