"""Processes of a cluster: start, stop, and recovery from an earlier owner that was killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from commontrace.storage.embedded_postgres import launcher

_STOP_SECONDS = 10.0
_START_SECONDS = 60.0
_ACCEPTING = {"ready", "standby"}
_SHARED_MEMORY_REFUSED = (b"could not map anonymous shared memory", b"could not create shared memory segment")


class EmbeddedPostgresFailed(Exception):
    """Postgres cannot run here. `log_tail` is the end of its log, and of the message."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        self.log_tail = ""
        if log is not None and log.exists():
            self.log_tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
            message = f"{message}; {log} ends with:\n{self.log_tail}"
        super().__init__(message)


class SharedMemoryRefused(EmbeddedPostgresFailed):
    """The system refuses the shared memory that Postgres needs."""


class PostmasterFile(NamedTuple):
    """Content of `postmaster.pid`, which a running postmaster writes."""

    pid: int
    socket_dir: Path
    is_ready: bool


def read_postmaster_file(cluster: Path) -> PostmasterFile | None:
    """Returns the content of the file, None if it is absent or incomplete: nothing runs, or is still starting."""
    try:
        lines = (cluster / "postmaster.pid").read_text(encoding="utf-8").split("\n")
        return PostmasterFile(int(lines[0]), Path(lines[4]), is_ready=lines[7].strip() in _ACCEPTING)
    except (OSError, ValueError, IndexError):
        return None


def is_ready(pid: int, cluster: Path) -> bool:
    """Returns whether the postmaster `pid` accepts connections to the cluster, by its file."""
    postmaster = read_postmaster_file(cluster)
    return postmaster is not None and postmaster.pid == pid and postmaster.is_ready


def runs_on(pid: int, cluster: Path) -> bool:
    """Returns whether `pid` is a Postgres of this cluster, not a later process with the same pid."""
    if sys.platform == "linux":
        process = Path("/proc") / str(pid)
        try:
            is_postgres = (process / "comm").read_bytes() in {b"postgres\n", b"initdb\n"}
            return is_postgres and (process / "cwd").samefile(cluster)
        except OSError:
            return False
    command = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]
    listing = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - it is fixed
    return str(cluster) in listing.stdout


def processes_on(cluster: Path) -> list[int]:
    """Returns the pids that use the cluster; on Linux also backends that outlived their postmaster."""
    if sys.platform == "linux":
        numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    else:
        postmaster = read_postmaster_file(cluster)
        numbers = [postmaster.pid] if postmaster else []
    return [number for number in numbers if runs_on(number, cluster)]


def release_stale_locks(cluster: Path, socket_dir: Path) -> None:
    """Releases the lock files of a killed run, whose pid another process may have by now.

    Only for the owner of the directory, when `processes_on` is empty.
    """
    for name in (".s.PGSQL.5432", ".s.PGSQL.5432.lock"):
        (socket_dir / name).unlink(missing_ok=True)
    file = cluster / "postmaster.pid"
    if not file.exists():
        return
    _, _, rest = file.read_bytes().partition(b"\n")
    if not rest:
        file.unlink()
        return
    # Not deleted: from its last lines Postgres sees if shared memory of the killed run is in use. Postgres treats the
    # pid of its parent as stale. Replaced in one step: an incomplete file keeps Postgres from starting.
    renewed = file.with_name("postmaster.pid.new")
    renewed.write_bytes(b"%d\n" % os.getpid() + rest)
    renewed.replace(file)


def await_end_of_all(clusters: Sequence[Path]) -> None:
    """Waits for the end of an earlier owner's processes on the clusters, and interrupts them after 10 s.

    Raises EmbeddedPostgresFailed if they do not end.
    """
    # On Linux they are stopping already: the kernel has signalled them the death of their owner.
    patience = _STOP_SECONDS if sys.platform == "linux" else 0.0
    for is_last_try in (False, True):
        deadline = time.monotonic() + patience
        while left := [pid for cluster in clusters for pid in processes_on(cluster)]:
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        else:
            return
        patience = _STOP_SECONDS
        for pid in [] if is_last_try else left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
    names = ", ".join(map(str, left))
    raise EmbeddedPostgresFailed(f"Postgres of an earlier server does not end: kill the processes {names}")


def launch(program: Path, arguments: list[str], directory: Path, log: Path) -> subprocess.Popen[bytes]:
    """Starts `program` in `directory`, in a new session, so that Ctrl-C reaches only the owner."""
    prefix = [sys.executable, "-I", "-S", "-E", launcher.__file__, str(os.getpid())]
    log.touch(mode=0o600)
    with log.open("ab") as sink:
        return subprocess.Popen(  # noqa: S603 - our own launcher and a program of the wheel
            [*prefix, str(program), *arguments],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )


def failure(program: str, status: int, log: Path) -> EmbeddedPostgresFailed:
    """Returns the error for a `program` that failed with `status`."""
    message = f"{program} ended with status {status}"
    if status == launcher.NAMESPACE_REFUSED:
        who = "root" if os.geteuid() == 0 else f"uid {os.geteuid()}, which has no name on this system"
        message = (
            f"PostgreSQL does not run as {who}, and this system forbids the user namespace that would help: "
            "start as an ordinary user, or set DATABASE_URL to a PostgreSQL with pgvector"
        )
    elif any(refusal in log.read_bytes() for refusal in _SHARED_MEMORY_REFUSED):
        message += ": the system does not give it as much shared memory; set EMBEDDED_SHARED_BUFFERS to less"
        return SharedMemoryRefused(message, log)
    elif os.geteuid() == 0 and b"Permission denied" in log.read_bytes():
        message += "; run by root, it can enter only directories that belong to root or are open to all users"
    return EmbeddedPostgresFailed(message, log)


def await_ready(postmaster: subprocess.Popen[bytes], cluster: Path, log: Path) -> None:
    """Waits until the postmaster accepts connections. Raises EmbeddedPostgresFailed if it ends instead."""
    # Long: recovery after a kill replays everything since the last checkpoint.
    deadline = time.monotonic() + _START_SECONDS
    while not is_ready(postmaster.pid, cluster):
        if (status := postmaster.poll()) is not None:
            raise failure("postgres", status, log)
        if time.monotonic() > deadline:
            raise EmbeddedPostgresFailed("postgres accepts no connections after 60 s", log)
        time.sleep(0.005)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Requests a fast shutdown, after 10 s an immediate one, and kills the process after 6 s more."""
    for number, patience in ((signal.SIGINT, _STOP_SECONDS), (signal.SIGQUIT, 6.0), (signal.SIGKILL, 1.0)):
        if process.poll() is not None:
            return
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
