"""Worker process of `commontrace serve --workers`: run as a module, it serves on the port that its supervisor reserves.

Standard input holds the job, a line of JSON, and reaches its end when the supervisor ends. Standard output takes one
line of JSON: `{}` once the worker serves, `{"refused": ...}` where it cannot.
"""

import json
import os
import threading
from typing import TYPE_CHECKING, NoReturn

from commontrace.cli.exit_codes import FAILED
from commontrace.cli.runtime.environment import explain_failures, prepare_server_command
from commontrace.cli.runtime.signals import run_event_loop, stop_on_signals
from commontrace.serving.standard_streams import non_blocking_streams

if TYPE_CHECKING:
    from commontrace.settings import Settings

_STDIN = 0


@non_blocking_streams()
def main() -> None:
    """Serves until SIGTERM, or until the supervisor ends."""
    job = json.loads(_read_line())
    # In a thread, because the event loop may be busy or not running yet.
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    settings = prepare_server_command(job["settings"], names_process=True)
    with explain_failures(_refuse):
        run_event_loop(_serve(settings, url=job["url"]))


async def _serve(settings: "Settings", *, url: str) -> None:
    import asyncio

    from commontrace.serving import bootstrap, process_limits
    from commontrace.serving.server import serving

    hurry = asyncio.Event()
    stop = stop_on_signals(hurry)
    # The supervisor has migrated and seeded an embedded database already.
    where = bootstrap.Postgres(url=url, is_embedded=False)
    async with (
        bootstrap.foundation(where, settings) as foundation,
        serving(settings, foundation, shares_port=True, hurry=hurry),
    ):
        process_limits.freeze_heap()
        print("{}", flush=True)
        await stop.wait()


def _read_line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        # Unbuffered, because a buffer could swallow the end of input that the thread waits for.
        if not (more := os.read(_STDIN, 65536)):
            raise SystemExit(FAILED)
        line += more
    return line


def _end_with_supervisor() -> None:
    while os.read(_STDIN, 1):
        pass
    # Without a drain, because Postgres and the port have ended with the supervisor.
    os._exit(FAILED)


def _refuse(message: str) -> NoReturn:
    print(json.dumps({"refused": message}), flush=True)
    raise SystemExit(FAILED)


if __name__ == "__main__":
    main()
