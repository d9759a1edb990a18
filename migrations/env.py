"""Runs the migrations, on the connection that `commontrace migrate` brings or, for alembic's command, on its own."""

import asyncio

from alembic import context
from sqlalchemy import Connection

from commontrace.serving.embedder_factory import choose_embedder
from commontrace.settings import Settings
from commontrace.storage import engines
from commontrace.storage.models import Base


def run(connection: Connection) -> None:
    """Runs what the command asked for, one transaction a revision unless all is to be one."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transaction_per_migration=not context.config.attributes.get("is_one_transaction", False),
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def run_alone() -> None:
    """Serves the plain alembic command, for whoever writes a migration."""
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
