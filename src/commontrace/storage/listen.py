"""Hears what the database is told on a channel."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from asyncpg import InterfaceError, PostgresError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from commontrace.domain.errors import DatabaseUnavailable
from commontrace.storage.error_mapping import meaning_of_driver
from commontrace.storage.sqlstates import WENT_AWAY


@asynccontextmanager
async def listen(
    engine: AsyncEngine, channel: str, *, on_word: Callable[[str], None], on_end: Callable[[], None]
) -> AsyncIterator[AsyncConnection]:
    """Yields a connection of its own, which calls back with every word, and once when it is lost.

    Raises DatabaseUnavailable.
    """
    async with engine.connect() as connection:
        listener: Any = (await connection.get_raw_connection()).driver_connection
        listener.add_termination_listener(lambda *_: on_end())
        try:
            await listener.add_listener(channel, lambda _connection, _pid, _channel, word: on_word(word))
        except PostgresError as error:
            raise meaning_of_driver(error) or DatabaseUnavailable(WENT_AWAY) from error
        except InterfaceError as error:
            raise DatabaseUnavailable(WENT_AWAY) from error
        yield connection
