"""Who may use a connection pool, and how much of it is in use."""

import asyncio
from types import TracebackType
from typing import NamedTuple

from commontrace.core.errors import Overloaded
from commontrace.storage.failures import ALL_BUSY


class PoolState(NamedTuple):
    """A pool that opens at most `size` connections: how many are open, how many in use, how many callers wait."""

    name: str
    size: int
    open: int
    in_use: int
    waiting: int


class Turns:
    """Entered by whoever uses a pool: as many at a time as it has connections. Belongs to one event loop.

    In front of the pool, because pools are slow to refuse: hundreds of sessions that give up at the same time take
    SQLAlchemy half a second, and asyncpg's time limit counts the opening of a connection, too.
    """

    def __init__(self, name: str, *, size: int, timeout: float) -> None:
        """Takes the pool's name, its size, and how many seconds to wait at most."""
        self._name = name
        self._size = size
        self._timeout = timeout
        self._free = asyncio.Semaphore(size)
        self._in_use = self._waiting = 0

    async def __aenter__(self) -> None:
        """Waits for a turn. Raises Overloaded."""
        self._waiting += 1
        try:
            async with asyncio.timeout(self._timeout):
                await self._free.acquire()
        except TimeoutError:
            raise Overloaded(ALL_BUSY) from None
        finally:
            self._waiting -= 1
        self._in_use += 1

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._in_use -= 1
        self._free.release()

    def state(self, *, opened: int) -> PoolState:
        """Returns the state of a pool with so many open connections."""
        return PoolState(name=self._name, size=self._size, open=opened, in_use=self._in_use, waiting=self._waiting)
