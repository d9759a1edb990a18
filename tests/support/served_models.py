"""A model that stays what it is."""

from commontrace.embeddings.active_model import ActiveModel
from commontrace.embeddings.embedder import Embedder
from commontrace.embeddings.model import RecordedModel


def unchanging(embedder: Embedder) -> ActiveModel:
    """Returns what a server has of an embedder whose database is not moved to another model."""
    recorded = RecordedModel(
        model_id=embedder.model_id,
        model_version=embedder.model_version,
        dimensions=embedder.dimensions,
        is_lexical=embedder.is_lexical,
    )

    async def models() -> tuple[RecordedModel, None]:
        return recorded, None

    async def make(model: RecordedModel) -> Embedder:
        raise AssertionError(f"nobody needs {model.model_id}")

    return ActiveModel(embedder, load_recorded=models, create_embedder=make)
