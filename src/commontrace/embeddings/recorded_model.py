"""The embedding model that a database was made for."""

from dataclasses import dataclass

from commontrace.embeddings.embedder import Model


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedModel:
    """The model that the database was made for."""

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
