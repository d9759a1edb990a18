"""How a command that runs until somebody stops it runs, and learns of that."""

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine


def stop_on_signals(hurry: "asyncio.Event | None" = None) -> "asyncio.Event":
    """Returns what Ctrl-C, SIGTERM and SIGHUP set from now on, instead of ending the running event loop.

    From the second one on, they also set `hurry`. SIGHUP stays ignored where it was, as under `nohup` (ADR 0047).
    """
    import asyncio

    stop = asyncio.Event()

    def told() -> None:
        if stop.is_set() and hurry is not None:
            hurry.set()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, told)
    return stop


def run(main: "Coroutine[None, None, None]") -> None:
    """Runs a server's event loop."""
    if sys.platform == "win32":
        import asyncio

        asyncio.run(main)
    else:
        import uvloop

        uvloop.run(main)
