"""How many calls are being answered, so that a stopping server knows when it may go."""

import asyncio
from types import TracebackType


class CallsInProgress:
    """Entered for as long as a call lasts. Health watches do not count: they would last for ever."""

    def __init__(self) -> None:
        """Starts with none."""
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
        """How many there are."""
        return self._count

    async def wait_for_none(self) -> None:
        """Returns when no call is left."""
        await self._none.wait()
