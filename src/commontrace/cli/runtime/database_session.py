"""Database session of a command: one unit of work, beside running servers or without."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from commontrace.cli.runtime.environment import explain_failures, prepare_server_command

if TYPE_CHECKING:
    from commontrace.storage.unit_of_work import UnitOfWork

Result = TypeVar("Result")


def run_in_unit_of_work(action: Callable[["UnitOfWork"], Awaitable[Result]]) -> Result:
    """Runs `action` in one transaction and returns its result; a failure ends the command with its message."""
    import asyncio

    from commontrace.serving import bootstrap

    settings = prepare_server_command()

    async def run(where: bootstrap.Postgres) -> Result:
        async with bootstrap.migrated(where, settings) as database, database.unit_of_work() as work:
            return await action(work)

    with explain_failures(), bootstrap.postgres(settings, attach=True) as where:
        return asyncio.run(run(where))
