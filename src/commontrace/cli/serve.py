"""`commontrace serve`."""

import shutil
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from commontrace.cli.environment import configure_logging, failures_explained, read_settings
from commontrace.cli.stopping import stop_requested

# Imported when a server starts: `commontrace --help` does not owe the time.
if TYPE_CHECKING:
    import asyncio

    from commontrace.bootstrap import Postgres
    from commontrace.settings import Settings


_LOOK_SECONDS = 0.5


def serve(
    *,
    migrate: Annotated[
        bool,
        typer.Option("--migrate", help="Migrate the database of DATABASE_URL first; the embedded one always is."),
    ] = False,
) -> None:
    """Serve until Ctrl-C or SIGTERM.

    By default on an embedded Postgres with the sample traces loaded; on that of DATABASE_URL where it is set.
    """
    from commontrace import bootstrap
    from commontrace.server import refuse_open_address, refuse_taken_address

    settings = read_settings()
    configure_logging(settings.log_level)
    with failures_explained():
        refuse_open_address(settings)
        refuse_taken_address(settings)
        # Before the event loop: the embedded Postgres ends with the thread that started it.
        with bootstrap.postgres(settings, attach=False) as where:
            _run(_serve(where, settings, migrate=migrate))


def _run(main: Coroutine[None, None, None]) -> None:
    if sys.platform == "win32":
        import asyncio

        asyncio.run(main)
    else:
        import uvloop

        uvloop.run(main)


async def _serve(where: "Postgres", settings: "Settings", *, migrate: bool) -> None:

    from commontrace import bootstrap
    from commontrace.server import serving

    stop = stop_requested()
    if where.is_embedded or migrate:
        await bootstrap.migrate(where, settings)
    async with bootstrap.foundation(where, settings) as foundation:
        if where.is_embedded:
            await bootstrap.seed_if_possible(foundation)
        async with serving(settings, foundation) as address:
            # At once: whoever waits for the first line may close the pipe after it.
            print(
                f"commontrace ready on {address}\n"
                f"  {_command()} search 'the session breaks after await in FastAPI'\n"
                f"  {_command()} contribute --title '...' --context '...' --solution '...' --tag python\n",
                end="",
                flush=True,
            )
            await _end(stop, where)
            print("commontrace is stopping", file=sys.stderr)


async def _end(stop: "asyncio.Event", where: "Postgres") -> None:
    """Returns when somebody wants the server to stop; raises NotReady when it can serve no longer."""
    import asyncio

    from commontrace.bootstrap import NotReady

    while not stop.is_set():
        # Left running, the server would fail every call and keep others off the data. A start recovers them.
        if where.process is not None and where.process.has_ended:
            raise NotReady("Postgres has ended, its log is in DATA_DIR: start again, what was acknowledged is kept")
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _LOOK_SECONDS)


def _command() -> str:
    program = sys.argv[0]
    return "commontrace" if program == shutil.which("commontrace") else program
