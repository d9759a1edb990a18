"""Limits concurrent use of a thing, such as connections: a semaphore that is fair to users."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from commontrace.sharing.shares import Shares, served_user


class _Waiting:
    """Somebody who waits for a turn."""

    def __init__(self, amount: int) -> None:
        self.amount = amount
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class FairLimiter:
    """A semaphore whose next holder is the user who holds least. Belongs to one event loop."""

    def __init__(self, size: int, *, one_each: bool = False) -> None:
        """Takes how many there are, and whether a user who has none may have one all the same."""
        self._shares = Shares(size, one_each=one_each)
        self._waiting: dict[str, deque[_Waiting]] = {}

    @property
    def taken(self) -> int:
        """How many are in use."""
        return self._shares.taken

    @property
    def waiting(self) -> int:
        """How many turns are waited for."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def turn(self, amount: int = 1) -> AsyncIterator[None]:
        """Waits, and has so many until the block ends."""
        user = await self.begin(amount)
        try:
            yield
        finally:
            self.end(user, amount)

    async def begin(self, amount: int = 1, *, patience: float | None = None) -> str:
        """Waits for a turn and returns whose it is. Raises TimeoutError after so many seconds."""
        user = served_user.get()
        if not self.begin_at_once(amount):
            await self._wait(user, amount, patience)
        return user

    def begin_at_once(self, amount: int = 1) -> bool:
        """Begins a turn unless it had to be waited for; tells whether."""
        user = served_user.get()
        # The others who wait are of users who have had their share.
        if user in self._waiting or not self._shares.has_room(user):
            return False
        self._shares.take(user, amount)
        return True

    def end(self, user: str, amount: int = 1) -> None:
        """Ends a turn of the user's, or gives back some of it: the next begins."""
        self._shares.give_back(user, amount)
        while able := [user for user in self._waiting if self._shares.has_room(user)]:
            self._pass_on(min(able, key=self._shares.taken_by))

    async def _wait(self, user: str, amount: int, patience: float | None) -> None:
        mine = _Waiting(amount)
        self._waiting.setdefault(user, deque()).append(mine)
        try:
            async with asyncio.timeout(patience):
                await mine.begun
        except BaseException:
            if mine.begun.done() and not mine.begun.cancelled():
                # It came in the same moment.
                self.end(user, amount)
            else:
                self._leave(user, mine)
            raise

    def _leave(self, user: str, one: _Waiting) -> None:
        queue = self._waiting.get(user, deque())
        # Gone already where its turn came just after it was given up.
        with suppress(ValueError):
            queue.remove(one)
            if not queue:
                del self._waiting[user]

    def _pass_on(self, user: str) -> None:
        queue = self._waiting.pop(user)
        one = queue.popleft()
        if queue:
            # Behind the others: of those who have as much, the one whose last turn is longest ago is next.
            self._waiting[user] = queue
        if not one.begun.cancelled():
            self._shares.take(user, one.amount)
            one.begun.set_result(None)
