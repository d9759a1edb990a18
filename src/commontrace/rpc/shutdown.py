"""Graceful shutdown of calls: what has not begun is refused, what has no end of its own ends."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from commontrace.domain.errors import ServerStopping

Value = TypeVar("Value")


class ShutdownSignal:
    """Whether the server stops. Streams that would last for ever wait through it."""

    def __init__(self) -> None:
        """Starts with a server that goes on."""
        self._begun = asyncio.Event()

    def begin(self) -> None:
        """Ends every wait."""
        self._begun.set()

    @property
    def has_begun(self) -> bool:
        """Whether it stops."""
        return self._begun.is_set()

    def refuse(self) -> None:
        """Raises ServerStopping if the server stops."""
        if self._begun.is_set():
            raise ServerStopping

    async def unless_begun(self, awaited: Awaitable[Value]) -> Value:
        """Returns what is waited for. Raises ServerStopping, and cancels it, when the server stops first.

        So it does where what is waited for is there already: a stream whose next message always is would never end.
        """
        waiting = asyncio.ensure_future(awaited)
        stopping = asyncio.ensure_future(self._begun.wait())
        try:
            if not self._begun.is_set():
                await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if self._begun.is_set():
                raise ServerStopping
            return waiting.result()
        finally:
            stopping.cancel()
            waiting.cancel()
            # What was waited for is over before this is: a generator cannot be closed while it runs.
            await asyncio.gather(waiting, stopping, return_exceptions=True)
