"""Start-up check of the embedding model: the embedder of the settings against the recorded model (ADR 0002, 0020)."""

import structlog

from commontrace.domain.traces.contribution import embedding_text
from commontrace.embeddings.embedder import Embedder, EmbedderUnavailable, ModelNotUsable
from commontrace.embeddings.local import text_reading
from commontrace.embeddings.model import RecordedModel
from commontrace.serving.embedder_factory import choose_embedder, embedder_of, settings_that_fit
from commontrace.serving.not_ready import NotReady
from commontrace.settings import Settings
from commontrace.storage.database import Database
from commontrace.storage.search.trace_tokens import TokensOfRevision

log = structlog.get_logger()


async def embedder_for(database: Database, settings: Settings, *, is_embedded: bool) -> Embedder:
    """Returns the embedder to serve the database with; the caller closes it.

    An embedded database that holds samples alone moves to the model of the settings at once: `is_embedded`. While
    another one is being re-encoded for that model, its current model serves. Raises NotReady, ModelNotUsable,
    EmbedderUnavailable, DatabaseUnavailable.
    """
    recorded, upcoming = await database.read(lambda reading: reading.embedding_models.get_current_and_next())
    may_replace = (
        is_embedded
        and upcoming is None
        and await database.read(lambda reading: reading.embedding_models.has_only_seeds())
    )
    embedder = await choose_embedder(settings, recorded=recorded, may_replace=may_replace)
    if recorded.made_by(embedder):
        if upcoming is None and text_reading.is_outdated(recorded):
            log.warning(
                "the vectors are of an older reading of texts, which finds less: `commontrace reembed` renews them",
                model=recorded.model_id,
                version=recorded.model_version,
            )
        return embedder
    if may_replace:
        await _encode_seeds(recorded, embedder, database)
        return embedder
    await embedder.close()
    if upcoming is None or not upcoming.made_by(embedder):
        raise NotReady(_mismatch(recorded, embedder))
    log.info("serving by the current model until `commontrace reembed` is done", model=recorded.model_id)
    return await _current_embedder(recorded, upcoming, settings)


async def _encode_seeds(recorded: RecordedModel, embedder: Embedder, database: Database) -> None:
    log.info(
        "encoding the seeds anew",
        old=f"{recorded.model_id} {recorded.model_version}",
        new=f"{embedder.model_id} {embedder.model_version}",
        dimensions=embedder.dimensions,
    )
    seeds = await database.read(lambda reading: reading.traces.list_seeds())
    embeddings = await embedder.encode(
        [embedding_text(seed.title, seed.context_text, seed.solution_text) for seed in seeds]
    )
    vectors = {seed.id: embedding.vector for seed, embedding in zip(seeds, embeddings, strict=True)}
    tokens = [
        TokensOfRevision(seed.id, seed.revision, embedding.token_signs)
        for seed, embedding in zip(seeds, embeddings, strict=True)
    ]
    async with database.unit_of_work() as work:
        await work.embedding_models.replace(embedder, vectors)
        await work.trace_tokens.save(tokens, model_version=embedder.model_version)


async def _current_embedder(recorded: RecordedModel, upcoming: RecordedModel, settings: Settings) -> Embedder:
    try:
        return await embedder_of(recorded, settings)
    except (ModelNotUsable, EmbedderUnavailable) as error:
        raise NotReady(
            f"the database is being moved to {upcoming.model_id}, and until `commontrace reembed` is done it takes"
            f" {recorded.model_id}: {error}; or start this server when it is done"
        ) from error


def _mismatch(recorded: RecordedModel, embedder: Embedder) -> str:
    stored = f"{recorded.model_id} {recorded.model_version} ({recorded.dimensions} dimensions)"
    asked_for = f"{embedder.model_id} {embedder.model_version} ({embedder.dimensions})"
    return (
        f"the database's vectors come from {stored}, the settings ask for {asked_for}:"
        f" start with {settings_that_fit(recorded)}, or move the database to the model of the settings with"
        " `commontrace reembed`, or give this server a database of its own"
    )
