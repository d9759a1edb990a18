"""Hears which API keys have changed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from asyncpg import InterfaceError, PostgresError
from sqlalchemy.ext.asyncio import AsyncEngine

from commontrace.core.errors import DatabaseUnavailable
from commontrace.storage.key_repository import CHANNEL


@asynccontextmanager
async def hearing(engine: AsyncEngine, on_change: Callable[[UUID], None]) -> AsyncIterator[asyncio.Event]:
    """Calls back with the id of every key that changes, on a connection of its own; yields what is set at its end."""
    lost = asyncio.Event()
    async with engine.connect() as connection:
        listener: Any = (await connection.get_raw_connection()).driver_connection
        listener.add_termination_listener(lambda *_: lost.set())
        try:
            await listener.add_listener(CHANNEL, lambda _connection, _pid, _channel, key_id: on_change(UUID(key_id)))
        except (InterfaceError, PostgresError) as error:
            raise DatabaseUnavailable("the database went away or did not answer in time") from error
        yield lost
