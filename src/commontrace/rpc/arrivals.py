"""How long the server waits for a message, from whomever: until it is here, nobody knows who calls."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

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

    async def next(self, requests: AsyncIterator[bytes]) -> bytes | None:
        """Returns the next message, None where there is none in time."""
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as limit:
                not_prompt = loop.call_later(PROMPT_SECONDS, self._allow, limit)
                try:
                    return await anext(requests, None)
                finally:
                    not_prompt.cancel()
                    self._slow.discard(limit)
        return None

    def _allow(self, limit: asyncio.Timeout) -> None:
        now = asyncio.get_running_loop().time()
        if len(self._slow) < MOST_SLOW:
            self._slow.add(limit)
            limit.reschedule(now + LONGEST_SECONDS - PROMPT_SECONDS)
        else:
            limit.reschedule(now)
