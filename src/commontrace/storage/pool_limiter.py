"""Limits concurrent use of a connection pool (a semaphore with a time limit), and counts it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from commontrace.domain.errors import Overloaded
from commontrace.fair_sharing.fair_limiter import FairLimiter
from commontrace.fair_sharing.shares import served_user
from commontrace.fair_sharing.slot_release import slot_released
from commontrace.storage.error_mapping import POOL_EXHAUSTED


class PoolState(NamedTuple):
    """Use of a connection pool of at most `size` connections: open ones, those in use, and waiting callers."""

    name: str
    size: int
    open: int
    in_use: int
    waiting: int


class PoolLimiter:
    """A concurrency limit in front of a pool: as many slots as connections, shared fairly between users (ADR 0042).

    `timeout` is how many seconds a caller waits for a slot. Belongs to one event loop. The pools cannot do this: they
    know no users, and refuse slowly. SQLAlchemy takes half a second when hundreds of sessions give up at the same time,
    and asyncpg's timeout includes the opening of a connection.
    """

    def __init__(self, name: str, *, size: int, timeout: float) -> None:
        self._name = name
        self._size = size
        self._timeout = timeout
        self._limiter = FairLimiter(size)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Waits for a slot, and frees it when the block ends. Raises Overloaded."""
        user = await self.acquire()
        try:
            yield
        finally:
            self.release(user)

    async def acquire(self) -> str:
        """Waits for a slot and returns the user who holds it. Raises Overloaded."""
        user = served_user.get()
        if not self._limiter.try_acquire():
            await self._wait(user)
        return user

    def release(self, user: str) -> None:
        """Frees a slot of the user's."""
        self._limiter.release(user)

    async def _wait(self, user: str) -> None:
        has_begun = False
        try:
            # A call that waits for a connection uses no CPU, so it does not count against its user's share.
            async with slot_released():
                await self._limiter.acquire(timeout_seconds=self._timeout)
                has_begun = True
        except BaseException as error:
            if has_begun:
                self._limiter.release(user)
            if isinstance(error, TimeoutError):
                raise Overloaded(POOL_EXHAUSTED) from None
            raise

    def state(self, *, opened: int) -> PoolState:
        """Returns the use of the pool, which has `opened` connections open."""
        limiter = self._limiter
        return PoolState(name=self._name, size=self._size, open=opened, in_use=limiter.in_use, waiting=limiter.waiting)
