"""Maintenance of the database: migrate, seed, recount."""

from commontrace.cli.output.progress import progress
from commontrace.cli.runtime.environment import explain_failures, prepare_server_command
from commontrace.plurals import counted


def migrate() -> None:
    """Bring the database to the newest revision."""
    import asyncio

    from commontrace.serving import bootstrap
    from commontrace.storage.migrations import newest_revision

    settings = prepare_server_command()
    with explain_failures(), progress("migrating"), bootstrap.postgres(settings, attach=True) as where:
        changed = asyncio.run(bootstrap.migrate(where, settings))
    print(f"{'migrated to' if changed else 'already at'} {newest_revision()}")


def seed() -> None:
    """Load the sample traces; those that are there stay as they are."""
    import asyncio

    from commontrace.serving import bootstrap

    settings = prepare_server_command()

    async def load(where: bootstrap.Postgres) -> int:
        async with bootstrap.foundation(where, settings) as foundation:
            return await bootstrap.seed(foundation)

    with explain_failures(), progress("loading samples"), bootstrap.postgres(settings, attach=True) as where:
        stored = asyncio.run(load(where))
    print(f"seeded {counted(stored, 'traces')}" if stored else "Already seeded")


def recount() -> None:
    """Count all votes anew by today's VALIDATION_THRESHOLD.

    Applies a changed threshold to stored traces; safe beside a running server.
    """
    import asyncio

    from commontrace.core.votes import recount as vote_recount
    from commontrace.serving import bootstrap

    settings = prepare_server_command()
    with (
        explain_failures(),
        progress("counting votes") as advance,
        bootstrap.postgres(settings, attach=True) as where,
    ):

        async def count() -> vote_recount.Recounted:
            async with bootstrap.migrated(where, settings) as database:
                return await vote_recount.recount(
                    database, validation_threshold=settings.validation_threshold, on_progress=advance
                )

        recounted = asyncio.run(count())
    print(
        f"recounted {counted(recounted.traces, 'traces')}: {recounted.corrected} corrected,"
        f" {recounted.promoted} promoted, {recounted.demoted} demoted"
    )
