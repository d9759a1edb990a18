"""How long the server waits for a message, from whomever: until it is here, nobody knows who calls."""

import asyncio
from collections.abc import AsyncIterator

from commontrace.core.errors import CommonTraceError, Overloaded
from commontrace.rpc.invalid_request import MalformedRequest

PROMPT_SECONDS = 1.0
"""Messages come with their calls, or so soon after."""

LONGEST_SECONDS = 20.0
"""So long one may take where not too many do."""

MOST_SLOW = 8
"""How many may take longer than is prompt. What has come of each is in memory, up to 4 MiB."""


class Arrivals:
    """The messages that are on their way. Belongs to one event loop."""

    def __init__(self) -> None:
        """Starts with none."""
        self._slow: set[asyncio.Timeout] = set()
        self._most_slow = MOST_SLOW

    async def next(self, requests: AsyncIterator[bytes]) -> bytes | CommonTraceError:
        """Returns the next message, or why there is none: MalformedRequest, Overloaded."""
        loop, is_allowed = asyncio.get_running_loop(), True

        def allow() -> None:
            nonlocal is_allowed
            is_allowed = len(self._slow) < self._most_slow
            if is_allowed:
                self._slow.add(limit)
            limit.reschedule(loop.time() + (LONGEST_SECONDS - PROMPT_SECONDS if is_allowed else 0))

        try:
            async with asyncio.timeout(None) as limit:
                not_prompt = loop.call_later(PROMPT_SECONDS, allow)
                try:
                    message = await anext(requests, None)
                    return no_message() if message is None else message
                finally:
                    not_prompt.cancel()
                    self._slow.discard(limit)
        except TimeoutError:
            if is_allowed:
                return MalformedRequest(f"no request message came within {LONGEST_SECONDS:g} s")
            return Overloaded("too many request messages are slow to come, and this is one of them")

    def give_up(self) -> None:
        """Waits no longer for what is slow, or becomes so."""
        self._most_slow = 0
        for limit in self._slow:
            limit.reschedule(0)


def no_message() -> CommonTraceError:
    """Returns what it means that a call ends without a message."""
    return MalformedRequest("the call ended without a request message")
