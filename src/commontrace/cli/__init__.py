"""Command line: `commontrace`, the only part that reads arguments and environment."""

import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

# A full disk, an exceeded quota, a file at its maximum size.
_OUT_OF_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# The most digits of a terminal's size.
_SIZE_DIGITS = 4


def main() -> None:
    """Runs `commontrace`."""
    # Both are None where they were closed: `commontrace list >&-`.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - until the end
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - until the end
    _configure_streams()
    code: int | str | None = 1
    try:
        with _terminations_unwind():
            # Inside the try, so that Ctrl-C during the import prints no traceback.
            from commontrace.cli.app import app

            try:
                # The same name under `python -m commontrace`, because completion is registered for it.
                app()(prog_name="commontrace")
            except SystemExit as ended:
                code = ended.code
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        # A closed pipe is no failure: `commontrace list | head -1`.
        if error.errno != errno.EPIPE:
            code = _print_os_error(error)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            # Otherwise Python flushes again at exit, prints the failure, and exits with 120.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


@contextmanager
def _terminations_unwind() -> Iterator[None]:
    """Lets SIGTERM and SIGHUP unwind the block as Ctrl-C does, then end the process: temporary files are removed.

    Commands with handlers of their own (`stop_on_signals`) replace these. A signal that is ignored stays ignored.
    """
    received: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        # An event loop has a handler of Ctrl-C that cancels its tasks.
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler):
            signal.raise_signal(signal.SIGINT)
        else:
            raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    numbers = [
        number
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))
        if is_main and signal.getsignal(number) is signal.SIG_DFL
    ]
    for number in numbers:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        if received:
            with suppress(OSError):
                sys.stdout.flush()
            signal.raise_signal(received[0])


def _print_os_error(error: OSError) -> int:
    """Prints a failure of a file, disk or device as a message without a traceback, and returns the exit code."""
    from commontrace.cli.exit_codes import FAILED
    from commontrace.cli.output.printing import print_failure

    what = f"{error.filename} cannot be used" if error.filename else "the system refuses to read or write"
    if error.errno in _OUT_OF_SPACE:
        what = "the output cannot be written"
    print_failure(f"{what}: {error.strerror or error}", FAILED)
    return FAILED


def _configure_streams() -> None:
    """Lets the standard streams print any text, in any encoding and terminal size of the environment."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in {"strict", "surrogateescape"}:
            stream.reconfigure(errors="backslashreplace")
    # Some environments set a size of 0 where it is unknown. One of more digits would make lines that fill the memory.
    for name in ("COLUMNS", "LINES"):
        if not 1 <= len(os.environ.get(name, "").lstrip("0")) <= _SIZE_DIGITS:
            os.environ.pop(name, None)
