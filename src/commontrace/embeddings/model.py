"""Embedding models by their identity: which vectors may be compared. Needs no numpy."""

from dataclasses import dataclass
from typing import Protocol


class Model(Protocol):
    """An embedding model, by what distinguishes its vectors from those of others."""

    @property
    def model_id(self) -> str:
        """The model's name; vectors are only comparable under the same id."""

    @property
    def model_version(self) -> str:
        """Distinguishes weights published under one id."""

    @property
    def dimensions(self) -> int:
        """The length of every vector."""

    @property
    def is_lexical(self) -> bool:
        """True if similarity means shared words rather than shared meaning."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedModel:
    """The model that the stored vectors come from, as the database records it (ADR 0002)."""

    model_id: str
    model_version: str
    dimensions: int
    is_lexical: bool

    def made_by(self, model: Model) -> bool:
        """Tells whether the model's vectors may stand beside the stored ones."""
        return (self.model_id, self.model_version, self.dimensions) == (
            model.model_id,
            model.model_version,
            model.dimensions,
        )
