"""Limits concurrent use of a connection pool (a semaphore with a time limit), and counts it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from commontrace.domain.errors import Overloaded
from commontrace.sharing.fair_limiter import FairLimiter
from commontrace.sharing.shares import served_user
from commontrace.sharing.slot_release import slot_released
from commontrace.storage.error_mapping import ALL_BUSY


class PoolState(NamedTuple):
    """A pool that opens at most `size` connections: how many are open, how many in use, how many callers wait."""

    name: str
    size: int
    open: int
    in_use: int
    waiting: int


class PoolLimiter:
    """Taken by whoever uses a pool: as many at a time as it has connections. Belongs to one event loop.

    In front of the pool, because pools know no users, and are slow to refuse: hundreds of sessions that give up at the
    same time take SQLAlchemy half a second, and asyncpg's time limit counts the opening of a connection, too.
    """

    def __init__(self, name: str, *, size: int, timeout: float) -> None:
        """Takes the pool's name, its size, and how many seconds to wait at most."""
        self._name = name
        self._size = size
        self._timeout = timeout
        self._turns = FairLimiter(size)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits for a turn, which lasts until the block ends. Raises Overloaded."""
        user = served_user.get()
        if not self._turns.try_acquire():
            await self._wait(user)
        try:
            yield
        finally:
            self._turns.release(user)

    async def _wait(self, user: str) -> None:
        has_begun = False
        try:
            # While all connections are held, no call works, so that none of the user's others has to wait for it.
            async with slot_released():
                await self._turns.acquire(timeout_seconds=self._timeout)
                has_begun = True
        except BaseException as error:
            if has_begun:
                self._turns.release(user)
            if isinstance(error, TimeoutError):
                raise Overloaded(ALL_BUSY) from None
            raise

    def state(self, *, opened: int) -> PoolState:
        """Returns the state of a pool with so many open connections."""
        turns = self._turns
        return PoolState(name=self._name, size=self._size, open=opened, in_use=turns.in_use, waiting=turns.waiting)
