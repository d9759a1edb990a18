"""LISTEN: notifications of Postgres channels on a dedicated connection."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from asyncpg import InterfaceError, PostgresError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from commontrace.domain.errors import DatabaseUnavailable
from commontrace.storage.error_mapping import map_driver_error
from commontrace.storage.sqlstate_errors import WENT_AWAY


@asynccontextmanager
async def listen(
    engine: AsyncEngine, channels: Mapping[str, Callable[[str], None]], *, on_disconnect: Callable[[], None]
) -> AsyncIterator[AsyncConnection]:
    """Yields a dedicated connection that calls back with the payload of each notification, and once when it is lost.

    `channels` has what to call by the name of the channel. Raises DatabaseUnavailable.
    """
    async with engine.connect() as connection:
        listener: Any = (await connection.get_raw_connection()).driver_connection
        listener.add_termination_listener(lambda *_: on_disconnect())
        try:
            for channel in channels:
                await listener.add_listener(
                    channel, lambda _connection, _pid, channel, payload: channels[channel](payload)
                )
        except PostgresError as error:
            raise map_driver_error(error) or DatabaseUnavailable(WENT_AWAY) from error
        except InterfaceError as error:
            raise DatabaseUnavailable(WENT_AWAY) from error
        yield connection
