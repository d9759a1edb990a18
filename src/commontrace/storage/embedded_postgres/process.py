"""The processes of one cluster: start them, stop them, recognise what an earlier owner left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from commontrace.storage.embedded_postgres import launcher as embedded_launcher

_PATIENCE = 10.0
_ACCEPTING = {"ready", "standby"}
_SHARED_MEMORY_REFUSED = (b"could not map anonymous shared memory", b"could not create shared memory segment")


class EmbeddedPostgresFailed(Exception):
    """Postgres cannot run here. `log_tail`, also the end of the message, is what it logged last."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        self.log_tail = ""
        if log is not None and log.exists():
            self.log_tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
            message = f"{message}; {log} ends with:\n{self.log_tail}"
        super().__init__(message)


class SharedMemoryRefused(EmbeddedPostgresFailed):
    """The system does not give Postgres as much shared memory as it asks for."""


class PostmasterFile(NamedTuple):
    """What a running postmaster says of itself in `postmaster.pid`."""

    pid: int
    socket_dir: Path
    is_ready: bool


def read_postmaster_file(cluster: Path) -> PostmasterFile | None:
    """Returns None where there is no complete file: nothing runs, or is not that far yet."""
    try:
        lines = (cluster / "postmaster.pid").read_text(encoding="utf-8").split("\n")
        return PostmasterFile(int(lines[0]), Path(lines[4]), is_ready=lines[7].strip() in _ACCEPTING)
    except (OSError, ValueError, IndexError):
        return None


def is_ready(pid: int, cluster: Path) -> bool:
    """Whether postmaster `pid` says that it accepts connections to the cluster."""
    said = read_postmaster_file(cluster)
    return said is not None and said.pid == pid and said.is_ready


def runs_on(pid: int, cluster: Path) -> bool:
    """Whether `pid` is a Postgres of this cluster, not a process that was given its number later."""
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
    """Returns the pids that use the cluster, on Linux also backends that outlived their postmaster."""
    if sys.platform == "linux":
        numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    else:
        postmaster = read_postmaster_file(cluster)
        numbers = [postmaster.pid] if postmaster else []
    return [number for number in numbers if runs_on(number, cluster)]


def release_stale_locks(cluster: Path, socket_dir: Path) -> None:
    """Lets Postgres start although the lock files of a killed run name a pid that another process has by now.

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
    # Not removed, because by its last lines Postgres sees whether shared memory of the killed run is in use.
    # Its parent's number it takes for a stale one. Replaced in one step: half a file stops Postgres.
    renewed = file.with_name("postmaster.pid.new")
    renewed.write_bytes(b"%d\n" % os.getpid() + rest)
    renewed.replace(file)


def await_end_of_all(clusters: Sequence[Path]) -> None:
    """Waits until nothing of an earlier owner runs on the clusters, after a while asks it to stop.

    Raises EmbeddedPostgresFailed where even that does not help.
    """
    # On Linux it is stopping already: the kernel told it that its owner died.
    patience = _PATIENCE if sys.platform == "linux" else 0.0
    for is_last_try in (False, True):
        deadline = time.monotonic() + patience
        while left := [pid for cluster in clusters for pid in processes_on(cluster)]:
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        else:
            return
        patience = _PATIENCE
        for pid in [] if is_last_try else left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
    names = ", ".join(map(str, left))
    raise EmbeddedPostgresFailed(f"Postgres of an earlier server does not end: kill the processes {names}")


def launch(program: Path, arguments: list[str], directory: Path, log: Path) -> subprocess.Popen[bytes]:
    """Starts `program` in `directory`, in a session of its own, so that Ctrl-C reaches only the owner."""
    prefix = [sys.executable, "-I", "-S", "-E", embedded_launcher.__file__, str(os.getpid())]
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
    """Returns what to raise when `program` ended with `status` without having done its work."""
    message = f"{program} ended with status {status}"
    if status == embedded_launcher.NAMESPACE_REFUSED:
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
    # Recovery after a kill replays all since the last checkpoint, hence the patience.
    deadline = time.monotonic() + 60
    while not is_ready(postmaster.pid, cluster):
        if (status := postmaster.poll()) is not None:
            raise failure("postgres", status, log)
        if time.monotonic() > deadline:
            raise EmbeddedPostgresFailed("postgres accepts no connections after 60 s", log)
        time.sleep(0.005)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Asks for a fast shutdown, after 10 s for an immediate one, and at last kills the process."""
    for number, patience in ((signal.SIGINT, _PATIENCE), (signal.SIGQUIT, 6.0), (signal.SIGKILL, 1.0)):
        if process.poll() is not None:
            return
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
