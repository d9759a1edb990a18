"""Graceful shutdown of calls: new calls and endless streams end with SERVER_STOPPING, so that clients go elsewhere."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from commontrace.domain.errors import ServerStopping

Value = TypeVar("Value")


class ShutdownSignal:
    """The state of a server's shutdown, which calls check and endless streams wait through."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()

    def begin(self) -> None:
        """Begins the shutdown: every wait of a stream ends."""
        self._begun.set()

    @property
    def has_begun(self) -> bool:
        """True once the shutdown has begun."""
        return self._begun.is_set()

    def raise_if_begun(self) -> None:
        """Raises ServerStopping once the shutdown has begun."""
        if self._begun.is_set():
            raise ServerStopping

    async def wait_for(self, awaited: Awaitable[Value]) -> Value:
        """Returns the awaited value. Cancels it and raises ServerStopping once the shutdown has begun.

        That goes for a value that is there already, too: a stream whose next message always is would never end.
        """
        waiting = asyncio.ensure_future(awaited)
        begun = asyncio.ensure_future(self._begun.wait())
        try:
            if not self._begun.is_set():
                await asyncio.wait((waiting, begun), return_when=asyncio.FIRST_COMPLETED)
            self.raise_if_begun()
            return waiting.result()
        finally:
            begun.cancel()
            waiting.cancel()
            # A cancelled generator is waited for: it cannot be closed while it runs.
            await asyncio.gather(waiting, begun, return_exceptions=True)
