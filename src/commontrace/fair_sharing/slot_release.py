"""Releases a call's slots while the call waits for a resource that has a limit of its own.

So that a call which waits for, say, the embedding model holds no memory or effort back from other calls.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import ContextVar

release_slot: ContextVar[Callable[[], AbstractAsyncContextManager[None]]] = ContextVar(
    "release_slot", default=nullcontext
)
"""Set for a call by the limiter that admitted it: releases the slots on entry and acquires them anew on exit.

After a failure inside the block, they are not acquired again.
"""


def slot_released() -> AbstractAsyncContextManager[None]:
    """Surrounds the wait, in the call's own task. Raises Overloaded on exit if the slots cannot be had again."""
    return release_slot.get()()
