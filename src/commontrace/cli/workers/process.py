"""A process of `commontrace serve --workers`: run as a module, it serves on the port that its supervisor keeps.

Standard input brings the job, a line of JSON, and ends with the supervisor. Standard output takes one line of JSON:
`{}` when it serves, `{"refused": ...}` when it cannot.
"""

import json
import os
import threading
from typing import TYPE_CHECKING, NoReturn

from commontrace.cli.exit_codes import FAILED
from commontrace.cli.runtime.environment import configure_logging, failures_explained, read_settings
from commontrace.cli.runtime.signals import run, stop_requested
from commontrace.serving.standard_streams import non_blocking_streams

if TYPE_CHECKING:
    from commontrace.settings import Settings

_STDIN = 0


@non_blocking_streams()
def main() -> None:
    """Serves until SIGTERM or the end of the supervisor."""
    job = json.loads(_line())
    # A thread, because the event loop may be busy or not there yet.
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    settings = read_settings().model_copy(update=job["settings"])
    configure_logging(settings.log_level, names_process=True)
    with failures_explained(_refuse):
        run(_serve(settings, url=job["url"]))


async def _serve(settings: "Settings", *, url: str) -> None:
    import asyncio

    from commontrace.serving import bootstrap, process_limits
    from commontrace.serving.server import serving

    hurry = asyncio.Event()
    stop = stop_requested(hurry)
    # The supervisor has done what an embedded database needs first.
    where = bootstrap.Postgres(url=url, is_embedded=False)
    async with (
        bootstrap.foundation(where, settings) as foundation,
        serving(settings, foundation, shares_port=True, hurry=hurry),
    ):
        process_limits.freeze_heap()
        print("{}", flush=True)
        await stop.wait()


def _line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        # Unbuffered: what a buffer holds, the thread would wait for at the end.
        if not (more := os.read(_STDIN, 65536)):
            raise SystemExit(FAILED)
        line += more
    return line


def _end_with_supervisor() -> None:
    while os.read(_STDIN, 1):
        pass
    # As if killed with it: calls in progress have no Postgres or no port any more.
    os._exit(FAILED)


def _refuse(message: str) -> NoReturn:
    print(json.dumps({"refused": message}), flush=True)
    raise SystemExit(FAILED)


if __name__ == "__main__":
    main()
