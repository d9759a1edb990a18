"""Online re-encoding of all traces with another embedding model: reembed (ADR 0020)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from commontrace.cli.output.progress import progress
from commontrace.cli.runtime.environment import explain_failures, prepare_server_command
from commontrace.plurals import counted

if TYPE_CHECKING:
    from commontrace.serving.bootstrap import Postgres
    from commontrace.settings import Settings


def reembed(
    *,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Give up what was begun; the database stays with its model.")
    ] = False,
) -> None:
    """Move the database to the embedding model of the settings.

    Servers go on with the old model until every trace is encoded, then with the new one. Broken off at any point, the
    same command goes on from there.
    """
    import asyncio

    from commontrace.serving import bootstrap

    settings = prepare_server_command()
    with (
        explain_failures(),
        progress("encoding") as advance,
        bootstrap.postgres(settings, attach=True) as where,
    ):
        outcome = asyncio.run(_cancel(where) if cancel else _reembed(where, settings, advance))
    print(outcome)


async def _reembed(where: "Postgres", settings: "Settings", advance: Callable[[int, int], None]) -> str:
    from commontrace.core.encoding import reembed
    from commontrace.serving import bootstrap
    from commontrace.serving.embedder_factory import choose_embedder

    # With auto, a missing local model would fall back to the lexical one, which only suits new databases.
    chosen = settings.model_copy(update={"embedder": "local"}) if settings.embedder == "auto" else settings
    async with bootstrap.reembedding(where) as steps:
        embedder = await choose_embedder(chosen, recorded=None)
        try:
            count = await reembed.reembed(steps, embedder, on_progress=advance)
        finally:
            await embedder.close()
    model = f"{embedder.model_id} ({embedder.dimensions} dimensions)"
    if count is None:
        return f"nothing to do: the database's model is {model}"
    return f"re-encoded {counted(count, 'traces')} for {model}"


async def _cancel(where: "Postgres") -> str:
    from commontrace.core.encoding import reembed
    from commontrace.serving import bootstrap

    async with bootstrap.reembedding(where) as steps:
        cancelled = await reembed.cancel(steps)
    if cancelled is None:
        return "nothing to cancel: the database is not being moved to another model"
    return f"gave up {cancelled.model_id} ({cancelled.dimensions} dimensions); the database stays with its model"
