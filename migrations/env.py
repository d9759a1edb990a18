"""Alembic environment: migrations on the connection of `commontrace migrate`, or on one of its own."""

import asyncio

from alembic import context
from sqlalchemy import Connection

from commontrace.serving.embedder_factory import choose_embedder
from commontrace.settings import Settings
from commontrace.storage import engines
from commontrace.storage.models import Base


def run(connection: Connection) -> None:
    """Runs the command, with one transaction for each revision, or one for all (`is_one_transaction`)."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transaction_per_migration=not context.config.attributes.get("is_one_transaction", False),
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def run_alone() -> None:
    """Runs for the plain alembic command, which authors of migrations use."""
    settings = Settings()
    if settings.database_url is None:
        raise SystemExit(
            "the alembic command needs DATABASE_URL; `commontrace migrate` also knows the embedded database"
        )
    context.config.attributes["embedding_model"] = await choose_embedder(settings, recorded=None)
    engine = engines.unpooled(settings.database_url)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


if "connection" in context.config.attributes:
    run(context.config.attributes["connection"])
else:
    asyncio.run(run_alone())
