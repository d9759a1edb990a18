"""How a command that runs until somebody stops it runs, and learns of that."""

import signal
import sys
from typing import TYPE_CHECKING

# Imported when the command runs: `commontrace --help` does not owe the time.
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine


def stop_requested() -> "asyncio.Event":
    """Returns what Ctrl-C and SIGTERM set from now on, instead of ending the running event loop."""
    import asyncio

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def run(main: "Coroutine[None, None, None]") -> None:
    """Runs a server's event loop."""
    if sys.platform == "win32":
        import asyncio

        asyncio.run(main)
    else:
        import uvloop

        uvloop.run(main)
