"""Calls in progress: their number, and the wait for the last one at shutdown."""

import asyncio
from types import TracebackType


class CallsInProgress:
    """Counts calls, each entered as long as it lasts. Health watches do not count: they last for ever."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    def __enter__(self) -> None:
        self._count += 1
        self._none.clear()

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._count -= 1
        if not self._count:
            self._none.set()

    @property
    def count(self) -> int:
        """The number of calls in progress."""
        return self._count

    async def wait_for_none(self) -> None:
        """Returns when no call is in progress."""
        await self._none.wait()
