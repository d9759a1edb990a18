"""Receiving of request messages: a timeout for each, and limits of how many a user may have pending (ADR 0029)."""

import asyncio
from collections.abc import AsyncIterator
from weakref import WeakValueDictionary

from commontrace.domain.errors import CommonTraceError, Overloaded
from commontrace.rpc.validation.invalid_request import MalformedRequest

PROMPT_SECONDS = 1.0
"""A message that takes longer than this from the beginning of its call is slow."""

TIMEOUT_SECONDS = 20.0
"""The longest that a slow message may take."""

MAX_SLOW = 8
"""Slow messages that one user may have at a time; further ones are refused when they become slow."""

MAX_CONCURRENT = 16
"""Messages that are received at a time for one user; further ones wait with their sender. Each may take 2 MiB."""

MAX_CONCURRENT_ANONYMOUS = 8
"""The same for all anonymous callers together. The oldest one is refused for a new one: silent callers block nobody."""


class _PendingMessage:
    """A message that is waited for, and until when."""

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self._timeout = timeout
        self.is_refused = False

    def wait_until(self, when: float) -> None:
        """Moves the end of the wait; `when` is a time of the event loop."""
        self._timeout.reschedule(when)

    def refuse(self) -> None:
        """Ends the wait at once, as one too many."""
        self.is_refused = True
        self._timeout.reschedule(0)


class _PendingOfUser:
    """The pending messages of one user, the oldest first."""

    def __init__(self) -> None:
        self.slots = asyncio.Semaphore(MAX_CONCURRENT)
        self.messages: dict[_PendingMessage, None] = {}
        self.slow: set[_PendingMessage] = set()


class RequestReceiver:
    """Receives the messages of all calls of a server. Belongs to one event loop."""

    def __init__(self) -> None:
        self._users: WeakValueDictionary[str, _PendingOfUser] = WeakValueDictionary()
        self._max_slow = MAX_SLOW

    async def receive(self, requests: AsyncIterator[bytes], *, user: str = "") -> bytes | CommonTraceError:
        """Returns the next message, or the error that stands for it: MalformedRequest, Overloaded.

        All anonymous callers are one user, "".
        """
        pending = self._users.setdefault(user, _PendingOfUser())
        if user:
            async with pending.slots:
                return await self._receive(requests, pending)
        if len(pending.messages) >= MAX_CONCURRENT_ANONYMOUS:
            oldest = next(iter(pending.messages))
            del pending.messages[oldest]
            oldest.refuse()
        return await self._receive(requests, pending)

    async def _receive(self, requests: AsyncIterator[bytes], pending: _PendingOfUser) -> bytes | CommonTraceError:
        loop = asyncio.get_running_loop()
        message: _PendingMessage

        def become_slow() -> None:
            if len(pending.slow) < self._max_slow:
                pending.slow.add(message)
                message.wait_until(loop.time() + TIMEOUT_SECONDS - PROMPT_SECONDS)
            else:
                message.refuse()

        try:
            async with asyncio.timeout(None) as timeout:
                message = _PendingMessage(timeout)
                pending.messages[message] = None
                slow_timer = loop.call_later(PROMPT_SECONDS, become_slow)
                try:
                    received = await anext(requests, None)
                    return missing_message() if received is None else received
                finally:
                    slow_timer.cancel()
                    pending.messages.pop(message, None)
                    pending.slow.discard(message)
        except TimeoutError:
            if message.is_refused:
                return Overloaded("too many request messages are slow to come, and this is one of them")
            return MalformedRequest(f"no request message came within {TIMEOUT_SECONDS:g} s")

    def end_slow(self) -> None:
        """Ends the wait for every message that is slow now or becomes so."""
        self._max_slow = 0
        for pending in list(self._users.values()):
            for message in pending.slow:
                message.wait_until(0)


def missing_message() -> CommonTraceError:
    """Returns the error of a call that ends without a message."""
    return MalformedRequest("the call ended without a request message")
