"""Answers are made as fast as they are read: what stalled readers keep in memory has a bound."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple, TypeAlias

import grpc

from commontrace.domain import limits
from commontrace.domain.errors import Overloaded
from commontrace.rpc import call_cost as effort
from commontrace.rpc.call import Context
from commontrace.rpc.interceptors.base import (
    Handler,
    WrappingInterceptor,
    streaming_behavior,
    streaming_handler,
    unary_behavior,
)
from commontrace.sharing.elsewhere import given_back_elsewhere
from commontrace.sharing.shares import served_user
from commontrace.sharing.turns import FairLimiter

Stream: TypeAlias = Callable[[Any, Context], AsyncIterator[bytes]]

UNREAD_BYTES = 64 << 20
"""What answers may take that are being made, or have been and are not on their way yet."""

EFFORT = effort.MOST + 10
"""How much may be worked on at a time: of one user a large call, or several small ones. More is done no sooner."""

# A trace with the longest texts in ASCII: what answers need is not known before they are made.
_TRACE_BYTES = limits.CONTEXT_CHARACTERS + limits.SOLUTION_CHARACTERS + limits.METADATA_BYTES
# What a call costs whose answer waits, however small.
_LEAST_BYTES = 16 << 10
_PATIENCE_SECONDS = 1.0


class SendingInterceptor(WrappingInterceptor):
    """Lets an answer be made when there is room for it, and counts it until the transport has taken it. The innermost.

    Readers hold the transport back by flow control, for as long as they like. Whoever has nothing unread, or nothing
    worked on, is let in whatever others have.
    """

    def __init__(self, waiting: Collection[str]) -> None:
        """Takes the paths of streams that may wait long before they have something to answer."""
        super().__init__()
        self._waiting = frozenset(waiting)
        self._unread = FairLimiter(UNREAD_BYTES, one_each=True)
        self._efforts = FairLimiter(EFFORT, one_each=True)

    def wrap(self, handler: Handler, method: str) -> Handler:
        """Returns a handler of the same kind whose responses are bytes. It raises Overloaded."""
        serialize: Any = handler.response_serializer
        if handler.response_streaming:
            return streaming_handler(handler, self._stream(handler, method, serialize), sends_bytes=True)

        answer_inside = unary_behavior(handler)

        async def unary(request: Any, context: Context) -> bytes:
            making = self._making(_wanted_by(request), patience=_PATIENCE_SECONDS)
            await making.begin()
            try:
                answer: bytes = serialize(await answer_inside(request, context))
            except BaseException:
                making.end()
                raise
            making.is_made(answer)
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - grpc.aio begins each call in one
            # grpc.aio sends it in the same task.
            task.add_done_callback(making.end)
            return answer

        return grpc.unary_unary_rpc_method_handler(unary, handler.request_deserializer, None)

    def _stream(self, handler: Handler, method: str, serialize: Any) -> Stream:
        stream_inside, waits = streaming_behavior(handler), method in self._waiting

        async def stream(request: Any, context: Context) -> AsyncIterator[bytes]:
            wanted = _NOTHING if waits else _wanted_by(request)
            patience: float | None = _PATIENCE_SECONDS
            async with aclosing(stream_inside(request, context)) as responses:
                while True:
                    making = self._making(wanted, patience=patience)
                    # Once it has begun, it goes on as fast as it is read.
                    patience = None
                    await making.begin()
                    try:
                        response = await anext(responses, None)
                        if response is None:
                            return
                        answer = serialize(response)
                        making.is_made(answer)
                        yield answer
                    finally:
                        making.end()

        return stream

    def _making(self, wanted: "_Wanted", *, patience: float | None) -> "_Making":
        return _Making(self._unread, self._efforts, wanted, patience=patience)


class _Wanted(NamedTuple):
    """What an answer may need: bytes and effort."""

    size: int
    effort: int


_NOTHING = _Wanted(0, 0)


def _wanted_by(request: Any) -> _Wanted:
    size = min(limits.RESPONSE_BYTES, _TRACE_BYTES * effort.traces_asked_for(request))
    return _Wanted(size, effort.effort_of(request))


class _Making:
    """The making of one answer: what it takes of memory and effort, and then of memory until it is sent."""

    def __init__(self, unread: FairLimiter, efforts: FairLimiter, wanted: _Wanted, *, patience: float | None) -> None:
        """Takes what it may need of both, and how many seconds to wait for memory."""
        self._unread, self._efforts = unread, efforts
        self._wanted = wanted
        self._patience = patience
        self._user = served_user.get()
        self._size = self._effort = 0
        self._goes_on = False

    async def begin(self) -> None:
        """Waits for both. Raises Overloaded."""
        size, worth = self._wanted
        while True:
            await self._room()
            await self._efforts.begin(worth)
            # Not taken before: what waits to be worked on is not unread.
            if self._unread.begin_at_once(size):
                break
            self._efforts.end(self._user, worth)
        self._size, self._effort = size, worth
        self._goes_on = True
        given_back_elsewhere.set(self._elsewhere)

    async def _room(self) -> None:
        try:
            await self._unread.begin(0, patience=self._patience)
        except TimeoutError:
            raise Overloaded(
                "your answers that wait to be read take all the memory there is for them: read them first",
                retry_after=_PATIENCE_SECONDS,
            ) from None

    def is_made(self, answer: bytes) -> None:
        """Gives back the effort, and keeps as much memory as the answer takes."""
        self._give_back(self._size - max(len(answer), _LEAST_BYTES))

    def end(self, _task: object = None) -> None:
        """Gives back what it has left."""
        self._give_back(self._size)

    def _give_back(self, size: int) -> None:
        worth, self._effort = self._effort, 0
        self._size -= size
        self._goes_on = False
        self._efforts.end(self._user, worth)
        self._unread.end(self._user, size)

    @asynccontextmanager
    async def _elsewhere(self) -> AsyncIterator[None]:
        if not self._goes_on:
            yield
            return
        self.end()
        yield
        await self.begin()
