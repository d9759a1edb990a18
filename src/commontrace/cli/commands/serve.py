"""The server process, or the supervisor of several: serve (ADR 0021)."""

import os
import sys
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from commontrace.cli.output.ready_message import ready_lines
from commontrace.cli.runtime.environment import explain_failures, prepare_server_command
from commontrace.cli.runtime.signals import run_event_loop, stop_on_signals

if TYPE_CHECKING:
    import asyncio

    from commontrace.serving.bootstrap import Postgres
    from commontrace.settings import Settings


_CHECK_SECONDS = 0.5


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
    # Read when gRPC is imported, here and by workers. Below ERROR, gRPC writes a line that is not JSON for every failed
    # handshake, and any client can cause those.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from commontrace.serving.standard_streams import non_blocking_streams

    with non_blocking_streams():
        _run_server(migrate=migrate, workers=workers)


def _run_server(*, migrate: bool, workers: int | None) -> None:
    from commontrace.serving import bootstrap
    from commontrace.serving.listening import refuse_open_address, refuse_taken_address, reserve_port
    from commontrace.serving.model_installation import install_missing_model
    from commontrace.serving.not_ready import NotReady
    from commontrace.serving.tls import ServedCertificate

    settings = prepare_server_command({} if workers is None else {"workers": workers})
    with explain_failures():
        refuse_open_address(settings)
        # Checked before Postgres starts; the process that serves loads it again.
        ServedCertificate.of_settings(settings)
        if settings.workers > 1 and sys.platform != "linux":
            raise NotReady("more than one worker needs Linux, whose kernel spreads connections over them")
        with ExitStack() as port:
            if settings.workers == 1:
                refuse_taken_address(settings)
                address = settings.listen_address
            else:
                address = port.enter_context(reserve_port(settings.listen_address))
            install_missing_model(settings)
            # Outside the event loop, because the embedded Postgres ends with the thread that started it.
            with bootstrap.postgres(settings, attach=False) as where:
                if settings.workers == 1:
                    run_event_loop(_serve(where, settings, migrate=migrate))
                else:
                    run_event_loop(_supervise(where, settings, address, migrate=migrate))


async def _serve(where: "Postgres", settings: "Settings", *, migrate: bool) -> None:
    import asyncio

    from commontrace.serving import bootstrap, process_limits
    from commontrace.serving.server import serving

    hurry = asyncio.Event()
    stop = stop_on_signals(hurry)
    if where.is_embedded or migrate:
        await bootstrap.migrate(where, settings)
    async with bootstrap.foundation(where, settings) as foundation:
        if where.is_embedded:
            await bootstrap.seed_if_possible(foundation)
        async with serving(settings, foundation, hurry=hurry) as address:
            process_limits.freeze_heap()
            _print_ready(address, settings)
            await _stopped(stop, where)
            print("commontrace is stopping", file=sys.stderr)


async def _supervise(where: "Postgres", settings: "Settings", address: str, *, migrate: bool) -> None:
    import asyncio

    from commontrace.cli.workers.supervisor import WorkerSupervisor
    from commontrace.serving import bootstrap
    from commontrace.serving.listening import drain_seconds

    hurry = asyncio.Event()
    stop = stop_on_signals(hurry)
    if where.is_embedded or migrate:
        await bootstrap.migrate(where, settings)
    if where.is_embedded:
        async with bootstrap.foundation(where, settings) as foundation:
            await bootstrap.seed_if_possible(foundation)
    pool_size = max(1, settings.database_pool_size // settings.workers)
    replaced = {"listen_address": address, "database_pool_size": pool_size}
    workers = WorkerSupervisor(
        [
            {"url": where.url, "settings": replaced | {"metrics_address": settings.metrics_address_of(number)}}
            for number in range(settings.workers)
        ]
    )
    stopping = asyncio.create_task(_stopped(stop, where))
    running = [asyncio.create_task(workers.run_worker(number)) for number in range(settings.workers)]
    ready = asyncio.create_task(workers.all_serve.wait())
    try:
        await _first_of([stopping, ready, *running])
        if workers.all_serve.is_set():
            _print_ready(address, settings)
        await _first_of([stopping, *running])
        print("commontrace is stopping", file=sys.stderr)
    finally:
        tasks = [ready, stopping, *running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await workers.stop(within_seconds=drain_seconds(settings) + settings.stop_grace_seconds, hurry=hurry)


async def _first_of(tasks: "Iterable[asyncio.Task[None] | asyncio.Task[bool]]") -> None:
    """Returns when one of the tasks is done. Raises that task's exception."""
    import asyncio

    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


def _print_ready(address: str, settings: "Settings") -> None:
    # In one write, because a supervisor that waits for the first line may close the pipe after it.
    print(ready_lines(address, settings), end="", flush=True)


async def _stopped(stop: "asyncio.Event", where: "Postgres") -> None:
    """Waits for the stop signal. Raises NotReady where the embedded Postgres ends before."""
    import asyncio

    from commontrace.serving.not_ready import NotReady

    while not stop.is_set():
        # Without Postgres, the server would fail every call and keep its lock on DATA_DIR. A restart recovers the data.
        if where.process is not None and where.process.has_ended:
            raise NotReady("Postgres has ended, its log is in DATA_DIR: start again, what was acknowledged is kept")
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _CHECK_SECONDS)
