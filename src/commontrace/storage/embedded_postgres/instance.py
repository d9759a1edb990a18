"""Embedded Postgres: a private PostgreSQL that runs while its owner lives (ADR 0005)."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from commontrace.postgres_memory import default_megabytes, next_smaller
from commontrace.storage.embedded_postgres import processes
from commontrace.storage.embedded_postgres.cluster import create_cluster, find_binaries
from commontrace.storage.embedded_postgres.data_directory import (
    SOCKET_NAME,
    DataDirectoryInUse,
    choose_socket_directory,
    cluster_of,
    lock_directory,
    translate_access_errors,
    url_of_socket,
)
from commontrace.storage.embedded_postgres.processes import EmbeddedPostgresFailed

__all__ = ["DataDirectoryInUse", "EmbeddedPostgres", "EmbeddedPostgresFailed", "attach", "is_created", "start"]

_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "jit": "off",
    "cluster_name": "commontrace",
}


class EmbeddedPostgres:
    """A running Postgres that this process owns; leaving its context stops it.

    `url` is for SQLAlchemy with asyncpg; `pid` is that of the postmaster.
    """

    def __init__(self, url: str, postmaster: subprocess.Popen[bytes], resources: ExitStack) -> None:
        self.url, self.pid = url, postmaster.pid
        self._postmaster = postmaster
        self._resources = resources

    @property
    def has_ended(self) -> bool:
        """True after the end of the postmaster, expected or not; it survives the end of a backend."""
        return self._postmaster.poll() is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stops Postgres, within 17 s, and unlocks the directory. May be repeated."""
        self._resources.close()


def start(data_dir: Path, *, version: str = "18", shared_buffers: int | None = None) -> EmbeddedPostgres:
    """Starts Postgres on `data_dir`, created if absent, and returns when it accepts connections.

    `shared_buffers` is in megabytes. None takes what suits the machine, or less if the system refuses that (ADR 0049).

    Call it from a thread that lives as long as Postgres should, normally the main one: on Linux Postgres shuts
    down when that thread ends, however it ends. Raises DataDirectoryInUse if another server owns the
    directory, EmbeddedPostgresFailed if Postgres cannot run there.
    """
    if sys.platform == "win32":
        raise EmbeddedPostgresFailed("the embedded Postgres needs Linux or macOS; or set DATABASE_URL")
    binaries = find_binaries(version)
    try:
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        data_dir.mkdir(mode=0o700, exist_ok=True)
        data_dir = data_dir.resolve()
        with ExitStack() as resources:
            lock_directory(data_dir, resources)
            processes.await_end_of_all([*data_dir.glob("postgres-*"), *data_dir.glob("initdb-*")])
            return _start_locked(data_dir, version, binaries, shared_buffers, resources)
    except OSError as error:
        raise EmbeddedPostgresFailed(f"cannot run Postgres in {data_dir}: {error}") from error


def is_created(data_dir: Path, *, version: str = "18") -> bool:
    """Returns whether `data_dir` holds a cluster of this version. Raises EmbeddedPostgresFailed if unreadable."""
    with translate_access_errors(data_dir):
        try:
            (cluster_of(data_dir, version) / "PG_VERSION").stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
    return True


def attach(data_dir: Path) -> str | None:
    """Returns the URL of the Postgres that runs on `data_dir`, None if none accepts connections.

    Raises EmbeddedPostgresFailed if the directory is not readable.
    """
    with translate_access_errors(data_dir):
        clusters = list(data_dir.resolve().glob("postgres-*"))
    for cluster in clusters:
        postmaster = processes.read_postmaster_file(cluster)
        if postmaster and postmaster.is_ready and processes.runs_on(postmaster.pid, cluster):
            with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(postmaster.socket_dir / SOCKET_NAME))
                return url_of_socket(postmaster.socket_dir)
    return None


def _start_locked(
    data_dir: Path, version: str, binaries: Path, shared_buffers: int | None, resources: ExitStack
) -> EmbeddedPostgres:
    cluster, log = cluster_of(data_dir, version), data_dir / "postgres.log"
    if log.exists():
        log.replace(data_dir / "postgres.log.1")
    for unfinished in data_dir.glob("initdb-*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    if not (cluster / "PG_VERSION").exists():
        create_cluster(cluster, version, binaries, log)
    if (owner := cluster.stat().st_uid) != os.geteuid():
        raise EmbeddedPostgresFailed(f"{cluster} belongs to uid {owner}, who alone can run Postgres on it")
    processes.release_stale_locks(cluster, data_dir)
    socket_dir = choose_socket_directory(data_dir, resources)
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
            # The next attempt reports only its own failure.
            os.truncate(log, 0)
    resources.callback(processes.stop, postmaster)
    return EmbeddedPostgres(url_of_socket(socket_dir), postmaster, resources.pop_all())


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
