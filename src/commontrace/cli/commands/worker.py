"""Encoding worker beside the server: worker (ADR 0017)."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from commontrace.cli.output.printing import print_note
from commontrace.cli.output.progress import progress
from commontrace.cli.runtime.environment import explain_failures, prepare_server_command
from commontrace.cli.runtime.signals import stop_on_signals
from commontrace.plurals import counted

if TYPE_CHECKING:
    import asyncio

    from commontrace.core.encoding.queue import BatchResult
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
    from commontrace.serving.standard_streams import non_blocking_streams

    settings = prepare_server_command()
    with explain_failures(), bootstrap.postgres(settings, attach=True) as where:
        if once:
            with progress("encoding") as advance:
                turn, left = asyncio.run(_once(where, settings, retry=retry, advance=advance))
            print(_summary(turn, left))
        else:
            with non_blocking_streams():
                asyncio.run(_until_stopped(where, settings, retry=retry))


async def _once(
    where: "Postgres", settings: "Settings", *, retry: bool, advance: Callable[[int, int], None]
) -> "tuple[BatchResult, int]":
    from commontrace.core.encoding.worker import drain_queue
    from commontrace.serving import bootstrap

    async with bootstrap.foundation(where, settings) as foundation:
        database = foundation.database
        await _retry_if(retry, foundation)
        total = await database.read(lambda reading: reading.encoding_jobs.count_queued())
        turn = await drain_queue(
            database,
            foundation.embedder,
            lease_seconds=settings.encoding_lease_seconds,
            on_progress=lambda done: advance(done, max(total, done)),
        )
        return turn, await database.read(lambda reading: reading.encoding_jobs.count_queued())


async def _until_stopped(where: "Postgres", settings: "Settings", *, retry: bool) -> None:
    import asyncio

    from commontrace.core.encoding.worker import run_encoding
    from commontrace.serving import bootstrap

    async with bootstrap.foundation(where, settings) as foundation:
        await _retry_if(retry, foundation)
        encoding = asyncio.ensure_future(
            run_encoding(
                foundation.database,
                lambda: foundation.embedder,
                lease_seconds=settings.encoding_lease_seconds,
                raises_when_replaced=True,
            )
        )
        stop = stop_on_signals()
        print(f"commontrace worker ready, encoding with {foundation.embedder.model_id}", flush=True)
        await _first_of(encoding, stop)
        print_note("commontrace worker is stopping")


async def _first_of(encoding: "asyncio.Future[None]", stop: "asyncio.Event") -> None:
    """Waits for the stop signal, then cancels the encoding. Raises ModelReplaced where the encoding ends with it."""
    import asyncio

    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((encoding, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    encoding.cancel()
    with suppress(asyncio.CancelledError):
        await encoding


async def _retry_if(wanted: bool, foundation: "Foundation") -> None:  # noqa: FBT001 - private
    from commontrace.core.encoding.queue import requeue

    if wanted:
        print_note(f"queued again: {counted(await requeue(foundation.database), 'traces')}")


def _summary(turn: "BatchResult", left: int) -> str:
    parts = [f"encoded {counted(turn.encoded, 'traces')}"]
    if turn.given_up:
        parts.append(f"gave up {turn.given_up}")
    if left:
        waiting = "1 waits" if left == 1 else f"{left} wait"
        parts.append(f"{waiting}: other workers have them, or they are tried again later")
    return "; ".join(parts)
