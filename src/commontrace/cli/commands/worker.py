"""`commontrace worker`."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from commontrace.cli.output.printing import note
from commontrace.cli.output.progress import progress
from commontrace.cli.runtime.environment import configure_logging, failures_explained, read_settings
from commontrace.cli.runtime.signals import stop_requested
from commontrace.plurals import counted
from commontrace.serving.standard_streams import non_blocking_streams

# Imported when a worker starts: `commontrace --help` does not owe the time.
if TYPE_CHECKING:
    import asyncio

    from commontrace.core.encoding.queue import Turn
    from commontrace.serving.bootstrap import Foundation, Postgres
    from commontrace.settings import Settings


def worker(
    *,
    once: Annotated[bool, typer.Option("--once", help="End when nothing is due any more.")] = False,
    retry: Annotated[
        bool,
        typer.Option(
            "--retry", help="First queue again what was given up, and every trace without a vector of today's model."
        ),
    ] = False,
) -> None:
    """Encode traces that wait for their vector, beside the server.

    A server does so itself unless ENCODING_WORKER=false; as many workers as you like may help, here or elsewhere. Runs
    until Ctrl-C, SIGTERM or SIGHUP; with --once, it fails where text cannot be encoded now.
    """
    import asyncio

    from commontrace.serving import bootstrap

    settings = read_settings()
    configure_logging(settings.log_level)
    with failures_explained(), bootstrap.postgres(settings, attach=True) as where:
        if once:
            with progress("encoding") as advance:
                turn, left = asyncio.run(_once(where, settings, retry=retry, advance=advance))
            print(_said(turn, left))
        else:
            with non_blocking_streams():
                asyncio.run(_until_stopped(where, settings, retry=retry))


async def _once(
    where: "Postgres", settings: "Settings", *, retry: bool, advance: Callable[[int, int], None]
) -> "tuple[Turn, int]":
    from commontrace.core.encoding.worker import encode_what_is_due
    from commontrace.serving import bootstrap

    async with bootstrap.foundation(where, settings) as foundation:
        database = foundation.database
        await _queue_again_if(retry, foundation)
        there = await database.read(lambda reading: reading.encoding_jobs.count_waiting())
        turn = await encode_what_is_due(
            database,
            foundation.embedder,
            lease_seconds=settings.encoding_lease_seconds,
            on_progress=lambda done: advance(done, max(there, done)),
        )
        return turn, await database.read(lambda reading: reading.encoding_jobs.count_waiting())


async def _until_stopped(where: "Postgres", settings: "Settings", *, retry: bool) -> None:
    import asyncio

    from commontrace.core.encoding.worker import run_encoding
    from commontrace.serving import bootstrap

    async with bootstrap.foundation(where, settings) as foundation:
        await _queue_again_if(retry, foundation)
        encoding = asyncio.ensure_future(
            run_encoding(
                foundation.database,
                lambda: foundation.embedder,
                lease_seconds=settings.encoding_lease_seconds,
                ends_with_its_model=True,
            )
        )
        stop = stop_requested()
        print(f"commontrace worker ready, encoding with {foundation.embedder.model_id}", flush=True)
        await _first_of(encoding, stop)
        note("commontrace worker is stopping")


async def _first_of(encoding: "asyncio.Future[None]", stop: "asyncio.Event") -> None:
    """Returns when somebody wants the worker to stop; raises ModelReplaced when it can encode no longer."""
    import asyncio

    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((encoding, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    encoding.cancel()
    with suppress(asyncio.CancelledError):
        await encoding


async def _queue_again_if(wanted: bool, foundation: "Foundation") -> None:  # noqa: FBT001 - private
    from commontrace.core.encoding.queue import queue_again

    if wanted:
        note(f"queued again: {counted(await queue_again(foundation.database), 'traces')}")


def _said(turn: "Turn", left: int) -> str:
    parts = [f"encoded {counted(turn.encoded, 'traces')}"]
    if turn.given_up:
        parts.append(f"gave up {turn.given_up}")
    if left:
        waiting = "1 waits" if left == 1 else f"{left} wait"
        parts.append(f"{waiting}: other workers have them, or they are tried again later")
    return "; ".join(parts)
