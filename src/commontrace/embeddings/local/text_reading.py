"""Text reading: how a local model makes one vector of a text in several windows, by version (ADR 0058)."""

from collections.abc import Sequence
from dataclasses import dataclass

from commontrace.embeddings.embedder import HOSTED_VERSION
from commontrace.embeddings.model import Model

WINDOWS = 2
"""The most windows of a text that are read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextReading:
    """Weights of a text's windows in its vector, and whether its tokens are kept for late interaction.

    `number` is the version of the reading: vectors of two readings are not compared. `first_share` is the weight of the
    first window where there are two, None for the windows' shares of the tokens.
    """

    number: int
    first_share: float | None
    keeps_tokens: bool

    def version(self, weights_version: str) -> str:
        """Returns the model version of weights that are read so."""
        return weights_version if self.number == 1 else f"{weights_version}-{self.number}"

    def window_weights(self, tokens_of_windows: Sequence[int]) -> Sequence[float]:
        """Returns the weights of one or two windows, which need not add up to 1."""
        if self.first_share is None or len(tokens_of_windows) == 1:
            return tokens_of_windows
        return self.first_share, 1 - self.first_share


BY_TOKENS = TextReading(number=1, first_share=None, keeps_tokens=False)
"""Databases that were made with it keep it until `commontrace reembed`."""

NEWEST = TextReading(number=2, first_share=0.9, keeps_tokens=True)


def reading_of(model_version: str | None) -> TextReading:
    """Returns the reading that a recorded version names; the newest one for None, and for versions not known here."""
    return NEWEST if model_version is None or "-" in model_version else BY_TOKENS


def is_outdated(model: Model) -> bool:
    """Tells whether a database's vectors come from a local model that read texts in another way than it does now."""
    return _is_local(model) and reading_of(model.model_version) is not NEWEST


def keeps_tokens(model: Model) -> bool:
    """Tells whether the model's embeddings come with the signs of their tokens."""
    return _is_local(model) and reading_of(model.model_version).keeps_tokens


def _is_local(model: Model) -> bool:
    return not model.is_lexical and model.model_version != HOSTED_VERSION
