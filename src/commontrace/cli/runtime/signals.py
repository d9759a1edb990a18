"""Signals and event loop of commands that run until they are stopped."""

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine


def stop_on_signals(hurry: "asyncio.Event | None" = None) -> "asyncio.Event":
    """Installs handlers of SIGINT, SIGTERM and SIGHUP on the running event loop, and returns the event that they set.

    A second signal also sets `hurry`. SIGHUP stays ignored where it was ignored, as under `nohup` (ADR 0047).
    """
    import asyncio

    stop = asyncio.Event()

    def handle_signal() -> None:
        if stop.is_set() and hurry is not None:
            hurry.set()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, handle_signal)
    return stop


def run_event_loop(main: "Coroutine[None, None, None]") -> None:
    """Runs a server's main coroutine: on uvloop, except on Windows."""
    if sys.platform == "win32":
        import asyncio

        asyncio.run(main)
    else:
        import uvloop

        uvloop.run(main)
