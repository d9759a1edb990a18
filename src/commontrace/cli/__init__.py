"""The command line: the only reader of arguments and environment."""

import sys


def main() -> None:
    """Runs `commontrace`."""
    try:
        # Imported here, where Ctrl-C is no traceback.
        from commontrace.cli.app import app

        # Under `python -m commontrace`, too, and so completion has one name.
        app()(prog_name="commontrace")
    except KeyboardInterrupt:
        sys.exit(130)
