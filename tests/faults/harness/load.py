"""Clients that call while something breaks."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc

from commontrace.client.errors import CallFailed
from tests.faults.harness.journal import Operation, Outcome

Answer = TypeVar("Answer")

_PATIENCE_SECONDS = 180.0
_PAUSE_SECONDS = 0.05
# What a client hears from a service that is broken; anything else is an answer.
_UNKNOWN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
_REFUSED = (grpc.StatusCode.RESOURCE_EXHAUSTED,)
# What it must not hear from a service that knows what went wrong.
_UNEXPLAINED = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


async def attempt(operation: Operation, call: Callable[[], Awaitable[Answer]]) -> Answer | None:
    """Calls once and notes the outcome; None unless it is OK. Raises what no fault explains."""
    operation.attempts += 1
    try:
        answer = await call()
    except (CallFailed, grpc.aio.AioRpcError) as error:
        code = error.code if isinstance(error, CallFailed) else error.code()
        if code in _UNEXPLAINED:
            operation.unexplained += 1
        elif code not in (*_UNKNOWN, *_REFUSED):
            raise
        # An attempt that was refused does not tell what became of the one before.
        is_refused = code in _REFUSED and operation.attempts == 1
        operation.outcome = Outcome.FAILED if is_refused else Outcome.UNKNOWN
        return None
    operation.outcome = Outcome.OK
    return answer


async def until_answered(operation: Operation, call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Calls until it is answered, as whoever needs the answer does. Raises AssertionError if it never is."""
    gives_up = time.monotonic() + _PATIENCE_SECONDS
    while (answer := await attempt(operation, call)) is None:
        assert time.monotonic() < gives_up, f"no answer within {_PATIENCE_SECONDS:g} s: {operation}"
        await asyncio.sleep(_PAUSE_SECONDS)
    return answer


async def until(holds: Callable[[], bool], *, seconds: float = _PATIENCE_SECONDS) -> None:
    """Waits for it. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - many tasks count, none of them would notify
            await asyncio.sleep(0.001)


@asynccontextmanager
async def under_load(clients: list[Callable[[asyncio.Event], Coroutine[Any, Any, None]]]) -> AsyncIterator[None]:
    """Runs the clients as long as the block lasts; each goes on until the event that it is given is set."""
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(client(enough))
        try:
            yield
        finally:
            enough.set()
