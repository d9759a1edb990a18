"""A Postgres of one's own for a measurement, with settings that nobody else's environment changes."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from commontrace.embeddings.local.model import LocalModel, find_model_directory
from commontrace.embeddings.model import Model
from commontrace.serving import bootstrap
from commontrace.settings import Settings


@contextmanager
def own_postgres(embedder: Literal["local", "lexical"]) -> Iterator[tuple[bootstrap.Postgres, Settings]]:
    """Yields an empty embedded Postgres and the settings of a server on it, on a free port."""
    with tempfile.TemporaryDirectory(prefix="quality-") as data:
        settings = Settings(listen_address="127.0.0.1:0", data_dir=Path(data), embedder=embedder)
        with bootstrap.postgres(settings, attach=False) as where:
            yield where, settings


def installed_model() -> Model:
    """Returns the installed local model, closed."""
    directory = find_model_directory()
    if directory is None:
        raise SystemExit("the model package is not installed")
    model = LocalModel.load(directory)
    asyncio.run(model.close())
    return model


def forget_settings() -> None:
    """Settings of whoever measures would measure something else, or fill their own database."""
    for name in set(os.environ):
        if name.lower() in Settings.model_fields:
            del os.environ[name]
