"""No more is begun than can be answered before callers give up. Refusing does no work, least of all on the database."""

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any, TypeAlias

import grpc

from commontrace.domain.errors import DeadlinePassed, Overloaded
from commontrace.domain.scopes import Scope
from commontrace.plurals import counted
from commontrace.rpc.call import Context
from commontrace.rpc.interceptors.base import (
    Handler,
    WrappingInterceptor,
    streaming_behavior,
    streaming_handler,
    unary_behavior,
)
from commontrace.rpc.shutdown import ShutdownSignal
from commontrace.sharing.shares import Shares, served_user

Stream: TypeAlias = Callable[[Any, Context], AsyncIterator[Any]]

# Neither reads nor writes get all places for calls: what is refused of the one, still gets in of the other.
_SHARE_OF_A_KIND = 0.75
# Searches that are open wait for their readers most of the time.
_OPEN_SEARCHES_A_CALL = 2
# A stream of requests has some of them in memory.
_SHARE_OF_IMPORTS = 0.125
# Streams end when their readers do, not within milliseconds as calls.
_STREAM_RETRY_SECONDS = 5.0

Places: TypeAlias = tuple[Shares, ...]


class AdmissionInterceptor(WrappingInterceptor):
    """Counts the calls in progress and refuses more, of each user and in all, and every one once the server stops.

    Health is not counted, and answered until the end.

    Streams that last (`lasting`, by path) have places of their own, each RPC as many, and so have searches that are
    open: those that wait for news or for slow readers must not keep searches away.
    """

    def __init__(
        self,
        scopes: Mapping[str, Scope],
        lasting: Collection[str],
        stopping: ShutdownSignal,
        *,
        most_calls: int,
        most_streams: int,
    ) -> None:
        """Takes the scope of every RPC by its path, and how many places there are."""
        super().__init__()
        self._open_searches = _OPEN_SEARCHES_A_CALL * most_calls
        calls, of_a_kind = Shares(most_calls), max(1, int(_SHARE_OF_A_KIND * most_calls))
        reads, writes = ((calls, Shares(of_a_kind)) for _ in ("reads", "writes"))
        self._calls = {path: reads if scope == Scope.TRACES_READ else writes for path, scope in scopes.items()}
        self._lasting = frozenset(lasting)
        self._stopping = stopping
        self._most_streams = most_streams

    def wrap(self, handler: Handler, method: str) -> Handler:
        """Returns a handler of the same kind, which raises Overloaded or ServerStopping."""
        calls = self._calls[method]
        if handler.response_streaming:
            return streaming_handler(handler, self._stream(handler, method))

        answer_inside = unary_behavior(handler)

        async def unary(request: Any, context: Context) -> Any:
            self._stopping.refuse()
            _begin_in_time(context)
            with _admitted(calls, _call_refused):
                return await answer_inside(request, context)

        return grpc.unary_unary_rpc_method_handler(unary, handler.request_deserializer, handler.response_serializer)

    def _stream(self, handler: Handler, method: str) -> Stream:
        stream_inside, lasts = streaming_behavior(handler), method in self._lasting
        share = _SHARE_OF_IMPORTS if handler.request_streaming else 1
        most = max(1, int(share * self._most_streams)) if lasts else self._open_searches
        calls, open_ones = self._calls[method], (Shares(most),)

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            self._stopping.refuse()
            _begin_in_time(context)
            with _admitted(open_ones, _stream_refused):
                async with aclosing(stream_inside(request, context)) as responses:
                    async for response in responses if lasts else _counted_while_working(responses, calls):
                        yield response

        return stream


async def _counted_while_working(responses: AsyncIterator[Any], calls: Places) -> AsyncIterator[Any]:
    # Readers who are slow must not keep others away.
    with _admitted(calls, _call_refused):
        response = await anext(responses, None)
    while response is not None:
        yield response
        with _taken(calls):
            response = await anext(responses, None)


def _begin_in_time(context: Context) -> None:
    # gRPC begins late what came with many others. Whoever waited for it has been told the same by then.
    if context.time_remaining() == 0:
        raise DeadlinePassed("the deadline passed before the call was begun")


@contextmanager
def _admitted(places: Places, refusal: Callable[[int, int], Overloaded]) -> Iterator[None]:
    user = served_user.get()
    for shares in places:
        if not shares.has_room(user):
            raise refusal(shares.taken_by(user), shares.taken)
    with _taken(places):
        yield


@contextmanager
def _taken(places: Places) -> Iterator[None]:
    user = served_user.get()
    for shares in places:
        shares.take(user)
    try:
        yield
    finally:
        for shares in places:
            shares.give_back(user)


def _call_refused(own: int, count: int) -> Overloaded:
    return Overloaded(
        f"{counted(count, 'calls')} in progress, {own} of them yours: one more would not be answered in time"
    )


def _stream_refused(own: int, count: int) -> Overloaded:
    return Overloaded(
        f"{counted(count, 'such streams')} open, {own} of them yours: this server serves no more",
        retry_after=_STREAM_RETRY_SECONDS,
    )
