"""Gives back what a call has of shared things, while it waits for something that is shared by other rules."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import ContextVar

given_back_elsewhere: ContextVar[Callable[[], AbstractAsyncContextManager[None]]] = ContextVar(
    "given_back_elsewhere", default=nullcontext
)
"""Set by whoever shares things out: gives them back at the beginning of a block, and waits for them at its end.

What fails inside the block goes on without them.
"""


def elsewhere() -> AbstractAsyncContextManager[None]:
    """Surrounds the wait, in the call's own task. Raises Overloaded at its end."""
    return given_back_elsewhere.get()()
