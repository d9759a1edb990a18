"""Data directories as an earlier run left them, made once and copied: a first start costs seconds of processor time.

For tests that are about something else than a first start.
"""

import asyncio
import atexit
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import migrations
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from tests.faults.server_process import ServerProcess


def copy_served(place: Path, **settings: str) -> None:
    """Makes the data directory of a server in `place`, which has served with these settings before: seeds are in it."""
    _copy(_served(tuple(sorted(settings.items()))) / "data", place / "data")


def copy_migrated(data_dir: Path, *, dimensions: int) -> None:
    """Makes the data directory of a Postgres that holds the empty tables of the lexical embedder."""
    _copy(_migrated(dimensions), data_dir)


def _copy(source: Path, target: Path) -> None:
    # With the modes, which Postgres looks at.
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)


@cache
def _served(settings: tuple[tuple[str, str], ...]) -> Path:
    place = _place()
    with ServerProcess(place, **dict(settings)):
        return place


@cache
def _migrated(dimensions: int) -> Path:
    data_dir = _place() / "data"

    def migrate() -> None:
        with embedded_postgres.start(data_dir) as postgres:
            asyncio.run(migrations.upgrade(postgres.url, LexicalEmbedder(dimensions)))

    # Callers are in an event loop.
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(migrate).result()
    return data_dir


def _place() -> Path:
    directory = tempfile.TemporaryDirectory(prefix="commontrace-prepared-")
    atexit.register(directory.cleanup)
    return Path(directory.name)
