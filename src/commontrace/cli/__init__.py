"""The command line: the only reader of arguments and environment."""

import errno
import os
import sys
from pathlib import Path

# A pipe that nobody reads any more, a full disk, a device that fails.
_UNWRITABLE = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO)


def main() -> None:
    """Runs `commontrace`."""
    # Whoever started it may have closed them: `commontrace list >&-`.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - until the end
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - until the end
    try:
        # Imported here, where Ctrl-C is no traceback.
        from commontrace.cli.app import app

        try:
            # Under `python -m commontrace`, too, and so completion has one name.
            app()(prog_name="commontrace")
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        # Python tries again at the end, and complains again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno != errno.EPIPE:
            print(f"commontrace: the output cannot be written: {error.strerror}", file=sys.stderr)
        sys.exit(1)
