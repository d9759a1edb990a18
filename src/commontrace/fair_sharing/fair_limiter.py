"""Fair concurrency limit: a semaphore that serves users by how little they hold (ADR 0042)."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from commontrace.fair_sharing.shares import Shares, served_user


class _Waiter:
    """A request for units that had to wait."""

    def __init__(self, amount: int) -> None:
        self.amount = amount
        self.admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class FairLimiter:
    """A semaphore of `size` units whose next holder is the user who holds least. Belongs to one event loop.

    With `one_each`, a user that holds nothing is admitted even when nothing is left.
    """

    def __init__(self, size: int, *, one_each: bool = False) -> None:
        self._shares = Shares(size, one_each=one_each)
        self._waiters: dict[str, deque[_Waiter]] = {}

    @property
    def in_use(self) -> int:
        """The units in use."""
        return self._shares.taken

    @property
    def waiting(self) -> int:
        """The number of requests that wait."""
        return sum(map(len, self._waiters.values()))

    @asynccontextmanager
    async def hold(self, amount: int = 1) -> AsyncIterator[None]:
        """Waits for the units and holds them until the block ends."""
        user = await self.acquire(amount)
        try:
            yield
        finally:
            self.release(user, amount)

    async def acquire(self, amount: int = 1, *, timeout_seconds: float | None = None) -> str:
        """Waits for the units and returns the user who holds them. Raises TimeoutError after `timeout_seconds`."""
        user = served_user.get()
        if not self.try_acquire(amount):
            await self._wait(user, amount, timeout_seconds)
        return user

    def try_acquire(self, amount: int = 1) -> bool:
        """Acquires the units unless that takes waiting; tells whether it did."""
        user = served_user.get()
        # Waiters of other users are no reason to wait: they have had their share.
        if user in self._waiters or not self._shares.has_room(user):
            return False
        self._shares.take(user, amount)
        return True

    def release(self, user: str, amount: int = 1) -> None:
        """Releases units of the user's, and admits the waiters that fit now."""
        self._shares.give_back(user, amount)
        while self._waiters and (able := [user for user in self._waiters if self._shares.has_room(user)]):
            self._admit_next(min(able, key=self._shares.taken_by))

    async def _wait(self, user: str, amount: int, timeout_seconds: float | None) -> None:
        waiter = _Waiter(amount)
        self._waiters.setdefault(user, deque()).append(waiter)
        try:
            async with asyncio.timeout(timeout_seconds):
                await waiter.admitted
        except BaseException:
            if waiter.admitted.done() and not waiter.admitted.cancelled():
                # Admitted in the moment of giving up.
                self.release(user, amount)
            else:
                self._leave(user, waiter)
            raise

    def _leave(self, user: str, waiter: _Waiter) -> None:
        queue = self._waiters.get(user, deque())
        # Gone already where it was next just after it gave up.
        with suppress(ValueError):
            queue.remove(waiter)
            if not queue:
                del self._waiters[user]

    def _admit_next(self, user: str) -> None:
        queue = self._waiters.pop(user)
        waiter = queue.popleft()
        if queue:
            # To the end: of users who hold the same, the one who was admitted longest ago is next.
            self._waiters[user] = queue
        if not waiter.admitted.cancelled():
            self._shares.take(user, waiter.amount)
            waiter.admitted.set_result(None)
