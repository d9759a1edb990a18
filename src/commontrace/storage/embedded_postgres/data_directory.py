"""Data directory of the embedded Postgres: its owner lock and the directory of its socket.

It holds the cluster `postgres-<version>/`, `postgres.log` (`.1`: the previous run), and `owner.lock`.
"""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

from commontrace.storage.embedded_postgres.processes import EmbeddedPostgresFailed

if sys.platform != "win32":
    import fcntl

SOCKET_NAME = ".s.PGSQL.5432"
_SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103


class DataDirectoryInUse(Exception):
    """Another process owns the data directory. `pid` is None until that process has written it."""

    def __init__(self, data_dir: Path, pid: int | None) -> None:
        self.data_dir, self.pid = data_dir, pid
        owner = f"process {pid}" if pid else "another process"
        super().__init__(f"{data_dir} is in use by {owner}: stop it, or set DATA_DIR to another directory")


@contextmanager
def translate_access_errors(data_dir: Path) -> Iterator[None]:
    """Translates errors of access to the directory to EmbeddedPostgresFailed."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # RuntimeError: a loop of symbolic links.
        raise EmbeddedPostgresFailed(f"cannot look into {data_dir}: {getattr(error, 'strerror', error)}") from error


def cluster_of(data_dir: Path, version: str) -> Path:
    """Returns the directory of the cluster."""
    return data_dir / f"postgres-{version}"


def lock_directory(data_dir: Path, resources: ExitStack) -> None:
    """Locks the directory until `resources` closes. Raises DataDirectoryInUse."""
    descriptor = os.open(data_dir / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    lock = resources.enter_context(os.fdopen(descriptor, "r+", encoding="ascii"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = lock.read()
        raise DataDirectoryInUse(data_dir, int(owner) if owner.isdecimal() else None) from None
    lock.truncate()
    lock.write(str(os.getpid()))
    lock.flush()


def choose_socket_directory(data_dir: Path, resources: ExitStack) -> Path:
    """Returns the data directory, or a temporary one if the path of the socket would be too long or unusable."""
    if _fits(data_dir):
        return data_dir
    # Named after the data directory, so that the next start finds and removes the directory of a killed owner.
    prefix = f"commontrace-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]}-"
    temporary = Path(tempfile.gettempdir())
    if not _fits(temporary / f"{prefix}12345678"):
        temporary = Path("/tmp")  # noqa: S108 - only as the parent of a mkdtemp
    for left in temporary.glob(f"{prefix}*"):
        if left.lstat().st_uid == os.geteuid():
            shutil.rmtree(left, ignore_errors=True)
    socket_dir = Path(tempfile.mkdtemp(prefix=prefix, dir=temporary))
    resources.callback(shutil.rmtree, socket_dir, ignore_errors=True)
    return socket_dir


def _fits(directory: Path) -> bool:
    path = str(directory / SOCKET_NAME)
    # SQLAlchemy and asyncpg split the host at a comma.
    return len(os.fsencode(path)) <= _SOCKET_PATH_BYTES and "," not in path and path.isprintable()


def url_of_socket(socket_dir: Path) -> str:
    """Returns the URL of the Postgres with a socket in the directory, for SQLAlchemy with asyncpg."""
    # Has every parameter that asyncpg would otherwise take from the environment: PGPORT, PGPASSWORD or PGPASSFILE,
    # PGTARGETSESSIONATTRS, PGGSSLIB (ADR 0051). Postgres asks for no password. `connections` turns TLS off for sockets.
    given = "port=5432&password=none&target_session_attrs=any&gsslib=gssapi"
    return f"postgresql+asyncpg://postgres@/postgres?host={quote(str(socket_dir))}&{given}"
