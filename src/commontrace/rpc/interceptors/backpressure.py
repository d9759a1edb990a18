"""Backpressure: responses are made as fast as they are read, so that stalled readers hold bounded memory (ADR 0042)."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import grpc

from commontrace.domain import limits
from commontrace.domain.errors import Overloaded
from commontrace.fair_sharing.fair_limiter import FairLimiter
from commontrace.fair_sharing.shares import served_user
from commontrace.fair_sharing.slot_release import release_slot
from commontrace.rpc import call_cost
from commontrace.rpc.call import Context
from commontrace.rpc.interceptors.base import (
    Handler,
    Send,
    Stream,
    WrappingInterceptor,
    streaming_behavior,
    streaming_handler,
    unary_behavior,
)

MAX_UNSENT_BYTES = 64 << 20
"""Memory for responses that are being made or that the transport has not taken yet."""

MAX_CONCURRENT_COST = call_cost.MAX_COST + 10
"""Cost of the calls that are worked on at a time: a large one or several small ones. More would finish no sooner."""

# A trace with the longest texts, in ASCII. The size of a response is estimated before it is made.
_TRACE_BYTES = limits.CONTEXT_CHARACTERS + limits.SOLUTION_CHARACTERS + limits.METADATA_BYTES
# The memory of a call whose response waits, however small that is.
_MIN_RESPONSE_BYTES = 16 << 10
_MEMORY_WAIT_SECONDS = 1.0


class BackpressureInterceptor(WrappingInterceptor):
    """Makes a response when there is room for it, and counts its bytes until the transport has taken it. Innermost.

    Readers hold the transport back by flow control for as long as they like. A user without an unsent response, or
    without a call that is worked on, gets one whatever others use. `waiting` are the paths of streams that may wait
    long before they have a response.
    """

    def __init__(self, waiting: Collection[str]) -> None:
        super().__init__()
        self._waiting = frozenset(waiting)
        self._memory = FairLimiter(MAX_UNSENT_BYTES, one_each=True)
        self._work = FairLimiter(MAX_CONCURRENT_COST, one_each=True)

    def wrap(self, handler: Handler, method: str) -> Handler:
        """Returns a handler of the same kind whose responses are bytes. It raises Overloaded."""
        serialize: Any = handler.response_serializer
        if handler.response_streaming:
            return streaming_handler(handler, self._stream(handler, method, serialize), sends_bytes=True)

        inner = unary_behavior(handler)

        async def unary(request: Any, context: Context) -> bytes:
            reservation = self._reservation(_estimate(request), timeout=_MEMORY_WAIT_SECONDS)
            await reservation.acquire()
            try:
                response: bytes = serialize(await inner(request, context))
            except BaseException:
                reservation.release()
                raise
            reservation.finish_work(response)
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - grpc.aio begins each call in one
            # grpc.aio sends the response in the same task.
            task.add_done_callback(reservation.release)
            return response

        return grpc.unary_unary_rpc_method_handler(unary, handler.request_deserializer, None)

    def _stream(self, handler: Handler, method: str, serialize: Any) -> Stream:
        inner, waits = streaming_behavior(handler), method in self._waiting

        async def stream(request: Any, context: Context, send: Send) -> None:
            estimate = _NOTHING if waits else _estimate(request)
            reservation = self._reservation(estimate, timeout=_MEMORY_WAIT_SECONDS)
            await reservation.acquire()

            async def send_reserved(message: Any) -> None:
                nonlocal reservation
                response = serialize(message)
                reservation.finish_work(response)
                await send(response)
                reservation.release()
                # A stream that has begun is never refused: it goes on as fast as it is read.
                reservation = self._reservation(estimate, timeout=None)
                await reservation.acquire()

            try:
                await inner(request, context, send_reserved)
            finally:
                reservation.release()

        return stream

    def _reservation(self, estimate: "_Estimate", *, timeout: float | None) -> "_Reservation":
        return _Reservation(self._memory, self._work, estimate, timeout=timeout)


class _Estimate(NamedTuple):
    """The bytes of a response, and the cost of making it."""

    size: int
    cost: int


_NOTHING = _Estimate(0, 0)


def _estimate(request: Any) -> _Estimate:
    size = min(limits.RESPONSE_BYTES, _TRACE_BYTES * call_cost.traces_asked_for(request))
    return _Estimate(size, call_cost.cost_of(request))


class _Reservation:
    """The share of memory and work that one response uses: both while it is made, then memory until it is sent.

    `timeout` is for memory, in seconds; None waits without end.
    """

    def __init__(self, memory: FairLimiter, work: FairLimiter, estimate: _Estimate, *, timeout: float | None) -> None:
        self._memory, self._work = memory, work
        self._estimate = estimate
        self._timeout = timeout
        self._user = served_user.get()
        self._size = self._cost = 0
        self._is_working = False

    async def acquire(self) -> None:
        """Waits for memory and work. Raises Overloaded."""
        size, cost = self._estimate
        while True:
            await self._wait_for_memory()
            await self._work.acquire(cost)
            # Taken last: a call that waits for work must not count as an unsent response.
            if self._memory.try_acquire(size):
                break
            self._work.release(self._user, cost)
        self._size, self._cost = size, cost
        self._is_working = True
        release_slot.set(self._released)

    async def _wait_for_memory(self) -> None:
        try:
            await self._memory.acquire(0, timeout_seconds=self._timeout)
        except TimeoutError:
            raise Overloaded(
                "your answers that wait to be read take all the memory there is for them: read them first",
                retry_after=_MEMORY_WAIT_SECONDS,
            ) from None

    def finish_work(self, response: bytes) -> None:
        """Releases the work, and the memory that the response does not need."""
        self._release(self._size - max(len(response), _MIN_RESPONSE_BYTES))

    def release(self, _task: object = None) -> None:
        """Releases the rest."""
        self._release(self._size)

    def _release(self, size: int) -> None:
        cost, self._cost = self._cost, 0
        self._size -= size
        self._is_working = False
        self._work.release(self._user, cost)
        self._memory.release(self._user, size)

    @asynccontextmanager
    async def _released(self) -> AsyncIterator[None]:
        """Releases everything while the call waits for another limit; acquires it anew unless that wait fails."""
        if not self._is_working:
            yield
            return
        self.release()
        yield
        await self.acquire()
