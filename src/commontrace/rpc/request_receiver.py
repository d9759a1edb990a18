"""How long the server waits for a message, and how many it takes in at once: a share for each user."""

import asyncio
from collections.abc import AsyncIterator
from weakref import WeakValueDictionary

from commontrace.domain.errors import CommonTraceError, Overloaded
from commontrace.rpc.validation.invalid_request import MalformedRequest

PROMPT_SECONDS = 1.0
"""Messages come with their calls, or so soon after."""

LONGEST_SECONDS = 20.0
"""So long one may take where not too many do."""

MOST_SLOW = 8
"""How many of a user's may take longer than is prompt."""

AT_A_TIME = 16
"""How many of a user's are taken in at once; the others wait with their sender. Each may have 2 MiB in memory."""

AT_A_TIME_OF_STRANGERS = 8
"""The same of all whom nobody knows; of those, what began first gives way. Silent ones hold back no health checks."""


class _Arrival:
    """One message that is waited for."""

    def __init__(self, limit: asyncio.Timeout) -> None:
        self._limit = limit
        self.is_allowed = True

    def wait_until(self, when: float) -> None:
        """Waits for it until then, by the event loop's clock."""
        self._limit.reschedule(when)

    def refuse(self) -> None:
        """Waits no longer: others come first."""
        self.is_allowed = False
        self._limit.reschedule(0)


class _Share:
    """What one user has on its way."""

    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(AT_A_TIME)
        # In the order in which they began.
        self.begun: dict[_Arrival, None] = {}
        self.slow: set[_Arrival] = set()


class RequestReceiver:
    """The messages that are on their way. Belongs to one event loop."""

    def __init__(self) -> None:
        """Starts with none."""
        self._shares: WeakValueDictionary[str, _Share] = WeakValueDictionary()
        self._most_slow = MOST_SLOW

    async def next(self, requests: AsyncIterator[bytes], *, user: str = "") -> bytes | CommonTraceError:
        """Returns the next message of a user's, or why there is none: MalformedRequest, Overloaded.

        Those whom nobody knows are one user, without a name.
        """
        share = self._shares.setdefault(user, _Share())
        if user:
            async with share.turns:
                return await self._next(requests, share)
        if len(share.begun) >= AT_A_TIME_OF_STRANGERS:
            first = next(iter(share.begun))
            del share.begun[first]
            first.refuse()
        return await self._next(requests, share)

    async def _next(self, requests: AsyncIterator[bytes], share: _Share) -> bytes | CommonTraceError:
        loop = asyncio.get_running_loop()
        arrival: _Arrival

        def allow() -> None:
            if len(share.slow) < self._most_slow:
                share.slow.add(arrival)
                arrival.wait_until(loop.time() + LONGEST_SECONDS - PROMPT_SECONDS)
            else:
                arrival.refuse()

        try:
            async with asyncio.timeout(None) as limit:
                arrival = _Arrival(limit)
                share.begun[arrival] = None
                not_prompt = loop.call_later(PROMPT_SECONDS, allow)
                try:
                    message = await anext(requests, None)
                    return no_message() if message is None else message
                finally:
                    not_prompt.cancel()
                    share.begun.pop(arrival, None)
                    share.slow.discard(arrival)
        except TimeoutError:
            if arrival.is_allowed:
                return MalformedRequest(f"no request message came within {LONGEST_SECONDS:g} s")
            return Overloaded("too many request messages are slow to come, and this is one of them")

    def give_up(self) -> None:
        """Waits no longer for what is slow, or becomes so."""
        self._most_slow = 0
        for share in list(self._shares.values()):
            for arrival in share.slow:
                arrival.wait_until(0)


def no_message() -> CommonTraceError:
    """Returns what it means that a call ends without a message."""
    return MalformedRequest("the call ended without a request message")
