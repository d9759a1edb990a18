"""`commontrace serve`."""

import os
import sys
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from commontrace.cli.output.ready import ready_lines
from commontrace.cli.runtime.environment import configure_logging, failures_explained, read_settings
from commontrace.cli.runtime.signals import run, stop_requested
from commontrace.serving.standard_streams import never_failing

# Imported when a server starts: `commontrace --help` does not owe the time.
if TYPE_CHECKING:
    import asyncio

    from commontrace.serving.bootstrap import Postgres
    from commontrace.settings import Settings


_LOOK_SECONDS = 0.5


@never_failing()
def serve(
    *,
    migrate: Annotated[
        bool,
        typer.Option("--migrate", help="Migrate the database of DATABASE_URL first; the embedded one always is."),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="COUNT",
            min=1,
            max=64,
            help="Processes that share the port; WORKERS if not given, else 1.",
        ),
    ] = None,
) -> None:
    """Serve until Ctrl-C, SIGTERM or SIGHUP.

    By default on an embedded Postgres with the sample traces loaded; on that of DATABASE_URL where it is set.
    """
    # Read when gRPC is imported, here and by workers. gRPC has a line, not in JSON, for every handshake that fails, and
    # strangers decide how many there are.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from commontrace.serving import bootstrap
    from commontrace.serving.listening import refuse_open_address, refuse_taken_address, reserved
    from commontrace.serving.model_installation import install_missing_model
    from commontrace.serving.tls import ServedCertificate

    settings = read_settings()
    if workers is not None:
        settings = settings.model_copy(update={"workers": workers})
    configure_logging(settings.log_level)
    with failures_explained():
        refuse_open_address(settings)
        # Whoever serves reads it again: here it is refused before a Postgres is started.
        ServedCertificate.of_settings(settings)
        if settings.workers > 1 and sys.platform != "linux":
            raise bootstrap.NotReady("more than one worker needs Linux, whose kernel spreads connections over them")
        with ExitStack() as port:
            if settings.workers == 1:
                refuse_taken_address(settings)
                address = settings.listen_address
            else:
                address = port.enter_context(reserved(settings.listen_address))
            install_missing_model(settings)
            # Before the event loop: the embedded Postgres ends with the thread that started it.
            with bootstrap.postgres(settings, attach=False) as where:
                if settings.workers == 1:
                    run(_serve(where, settings, migrate=migrate))
                else:
                    run(_supervise(where, settings, address, migrate=migrate))


async def _serve(where: "Postgres", settings: "Settings", *, migrate: bool) -> None:
    import asyncio

    from commontrace.serving import bootstrap, memory
    from commontrace.serving.server import serving

    hurry = asyncio.Event()
    stop = stop_requested(hurry)
    if where.is_embedded or migrate:
        await bootstrap.migrate(where, settings)
    async with bootstrap.foundation(where, settings) as foundation:
        if where.is_embedded:
            await bootstrap.seed_if_possible(foundation)
        async with serving(settings, foundation, hurry=hurry) as address:
            memory.freeze()
            _say_ready(address, settings)
            await _end(stop, where)
            print("commontrace is stopping", file=sys.stderr)


async def _supervise(where: "Postgres", settings: "Settings", address: str, *, migrate: bool) -> None:
    import asyncio

    from commontrace.cli.workers.supervisor import Workers
    from commontrace.serving import bootstrap
    from commontrace.serving.listening import drain_seconds

    hurry = asyncio.Event()
    stop = stop_requested(hurry)
    if where.is_embedded or migrate:
        await bootstrap.migrate(where, settings)
    if where.is_embedded:
        async with bootstrap.foundation(where, settings) as foundation:
            await bootstrap.seed_if_possible(foundation)
    pool_size = max(1, settings.database_pool_size // settings.workers)
    replaced = {"listen_address": address, "database_pool_size": pool_size}
    workers = Workers(
        [
            {"url": where.url, "settings": replaced | {"metrics_address": settings.metrics_address_of(number)}}
            for number in range(settings.workers)
        ]
    )
    ending = asyncio.create_task(_end(stop, where))
    keeping = [asyncio.create_task(workers.keep_one(number)) for number in range(settings.workers)]
    ready = asyncio.create_task(workers.all_serve.wait())
    try:
        await _first_of([ending, ready, *keeping])
        if workers.all_serve.is_set():
            _say_ready(address, settings)
        await _first_of([ending, *keeping])
        print("commontrace is stopping", file=sys.stderr)
    finally:
        tasks = [ready, ending, *keeping]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await workers.stop(within_seconds=drain_seconds(settings) + settings.stop_grace_seconds, hurry=hurry)


async def _first_of(tasks: "Iterable[asyncio.Task[None] | asyncio.Task[bool]]") -> None:
    """Returns when one of the tasks is done; raises what it raised."""
    import asyncio

    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


def _say_ready(address: str, settings: "Settings") -> None:
    # At once: whoever waits for the first line may close the pipe after it.
    print(ready_lines(address, settings), end="", flush=True)


async def _end(stop: "asyncio.Event", where: "Postgres") -> None:
    """Returns when somebody wants the server to stop; raises NotReady when it can serve no longer."""
    import asyncio

    from commontrace.serving.bootstrap import NotReady

    while not stop.is_set():
        # Left running, the server would fail every call and keep others off the data. A start recovers them.
        if where.process is not None and where.process.has_ended:
            raise NotReady("Postgres has ended, its log is in DATA_DIR: start again, what was acknowledged is kept")
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _LOOK_SECONDS)
