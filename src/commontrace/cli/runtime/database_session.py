"""How a command works on the database itself, beside running servers or without."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from commontrace.cli.runtime.environment import configure_logging, explain_failures, read_settings

if TYPE_CHECKING:
    from commontrace.storage.unit_of_work import UnitOfWork

Result = TypeVar("Result")


def work_on_database(do: Callable[["UnitOfWork"], Awaitable[Result]]) -> Result:
    """Returns what is done in one transaction, or says why it cannot be done and ends."""
    import asyncio

    from commontrace.serving import bootstrap

    settings = read_settings()
    configure_logging(settings.log_level)

    async def done(where: bootstrap.Postgres) -> Result:
        async with bootstrap.migrated(where, settings) as database, database.unit_of_work() as work:
            return await do(work)

    with explain_failures(), bootstrap.postgres(settings, attach=True) as where:
        return asyncio.run(done(where))
