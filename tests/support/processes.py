"""Processes of a directory: listing them, waiting for their end; and interrupts by Ctrl-C."""

import signal
import time
from pathlib import Path


def processes_of(directory: Path) -> list[str]:
    """Every process that names the directory or works below it (a backend's title does not name it), as `ps` would."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(directory) in command or (process / "cwd").readlink().is_relative_to(directory):
                found.append(f"{process.name}: {command}")
        except OSError:
            continue
    return found


def wait_until_gone(directory: Path, seconds: float = 5.0) -> float:
    """Waits until no process is left and returns how long that took."""
    began = time.monotonic()
    while left := processes_of(directory):
        assert time.monotonic() < began + seconds, left
        time.sleep(0.005)
    return time.monotonic() - began


def heed_interrupts() -> None:
    """Lets SIGINT end what is started from now on, where this process ignores it, as a shell's background jobs do."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
