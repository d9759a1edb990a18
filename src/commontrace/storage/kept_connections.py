"""Connections kept between searches: borrowing one from the driver's pool takes a task and two wake-ups (ADR 0022)."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg

_PERIOD_SECONDS = 1.0


class KeptConnections:
    """Connections of a pool that are not given back between uses while they are used often. Belongs to one event loop.

    The last one put is taken first. Those that a period of a second or two goes by without are given back by `release`,
    whose pool closes what is idle for long.
    """

    def __init__(self, release: Callable[[asyncpg.Connection], Awaitable[None]]) -> None:
        self._release = release
        self._connections: list[asyncpg.Connection] = []
        # The first so many were not taken since the period began.
        self._unused_count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._releasing: set[asyncio.Task[None]] = set()

    def take(self) -> asyncpg.Connection | None:
        """Returns a connection, perhaps one that was closed meanwhile; None without any."""
        if not self._connections:
            return None
        connection = self._connections.pop()
        self._unused_count = min(self._unused_count, len(self._connections))
        return connection

    def put(self, connection: asyncpg.Connection) -> None:
        """Keeps a connection on which a statement has ended well."""
        self._connections.append(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PERIOD_SECONDS, self._end_period)

    async def release_all(self) -> None:
        """Gives every connection back. Raises what `release` raises."""
        connections, self._connections = self._connections, []
        self._unused_count = 0
        for connection in connections:
            await self._release(connection)

    def _end_period(self) -> None:
        unused, self._connections = self._connections[: self._unused_count], self._connections[self._unused_count :]
        for connection in unused:
            task = asyncio.ensure_future(self._release(connection))
            self._releasing.add(task)
            task.add_done_callback(self._releasing.discard)
        self._unused_count = len(self._connections)
        self._timer = None
        if self._connections:
            self._timer = asyncio.get_running_loop().call_later(_PERIOD_SECONDS, self._end_period)
