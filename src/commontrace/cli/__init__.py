"""The command line: the only reader of arguments and environment."""

import errno
import io
import os
import sys
from pathlib import Path

# A full disk, a file that may grow no more.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# How many digits the size of a terminal has at most.
_SIZE_DIGITS = 4


def main() -> None:
    """Runs `commontrace`."""
    # Whoever started it may have closed them: `commontrace list >&-`.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - until the end
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - until the end
    _make_writable()
    code: int | str | None = 1
    try:
        # Imported here, where Ctrl-C is no traceback.
        from commontrace.cli.app import app

        try:
            # Under `python -m commontrace`, too, and so completion has one name.
            app()(prog_name="commontrace")
        except SystemExit as ended:
            code = ended.code
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        # Whoever reads has what they want: `commontrace list | head -1`.
        if error.errno != errno.EPIPE:
            code = _explained(error)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            # Python tries again at the end, complains, and makes it the exit code.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def _explained(error: OSError) -> int:
    """Says what a file, a disk or a device refuses, and returns the exit code: a traceback would blame the program."""
    from commontrace.cli.exit_codes import FAILED
    from commontrace.cli.output.printing import print_failure

    what = f"{error.filename} cannot be used" if error.filename else "the system refuses to read or write"
    if error.errno in _UNWRITABLE:
        what = "the output cannot be written"
    print_failure(f"{what}: {error.strerror or error}", FAILED)
    return FAILED


def _make_writable() -> None:
    """Lets every text be printed, whatever encoding and size the environment claims for the output."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in {"strict", "surrogateescape"}:
            stream.reconfigure(errors="backslashreplace")
    # Whoever says 0 does not know, and no terminal has more than four digits of them: a line would fill the memory.
    for name in ("COLUMNS", "LINES"):
        if not 1 <= len(os.environ.get(name, "").lstrip("0")) <= _SIZE_DIGITS:
            os.environ.pop(name, None)
