"""Admission control: limits of concurrent calls and streams, shared by users (ADR 0029, 0042).

Refusing costs no work, least of all on the database.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Self, TypeAlias

import grpc

from commontrace.domain.errors import DeadlinePassed, Overloaded
from commontrace.domain.scopes import Scope
from commontrace.fair_sharing.shares import Shares, served_user
from commontrace.plurals import counted
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
from commontrace.rpc.shutdown import ShutdownSignal

Limits: TypeAlias = tuple[Shares, ...]
"""Limits that a call counts towards, all of them at once."""

# Neither reads nor writes may use the whole limit of calls: an overload by one kind leaves room for the other.
_SHARE_OF_A_KIND = 0.75
# Open searches wait for their readers most of the time.
_OPEN_SEARCHES_PER_CALL = 2
# An import stream holds some of its messages in memory.
_SHARE_OF_IMPORTS = 0.125
# Streams end when their readers want, not within milliseconds.
_STREAM_RETRY_SECONDS = 5.0


class AdmissionInterceptor(WrappingInterceptor):
    """Refuses calls beyond the limits, of each user and in all, and every new call once shutdown has begun.

    Health and reflection pass. Each RPC of a lasting stream (`lasting`, by path) has a limit of its own, and so have
    open searches: streams that wait for events or for slow readers keep no searches out. `scopes` has every RPC by its
    path.
    """

    def __init__(
        self,
        scopes: Mapping[str, Scope],
        lasting: Collection[str],
        shutdown: ShutdownSignal,
        *,
        max_calls: int,
        max_streams: int,
    ) -> None:
        super().__init__()
        self._max_open_searches = _OPEN_SEARCHES_PER_CALL * max_calls
        calls, of_a_kind = Shares(max_calls), max(1, int(_SHARE_OF_A_KIND * max_calls))
        reads, writes = ((calls, Shares(of_a_kind)) for _ in ("reads", "writes"))
        self._call_limits = {path: reads if scope == Scope.TRACES_READ else writes for path, scope in scopes.items()}
        self._lasting = frozenset(lasting)
        self._shutdown = shutdown
        self._max_streams = max_streams

    def wrap(self, handler: Handler, method: str) -> Handler:
        """Returns a handler of the same kind, which raises Overloaded, ServerStopping or DeadlinePassed."""
        call_limits = self._call_limits[method]
        if handler.response_streaming:
            return streaming_handler(handler, self._stream(handler, method))

        inner = unary_behavior(handler)

        async def unary(request: Any, context: Context) -> Any:
            self._shutdown.raise_if_begun()
            _require_time_left(context)
            with _admitted(call_limits, _call_refused):
                return await inner(request, context)

        return grpc.unary_unary_rpc_method_handler(unary, handler.request_deserializer, handler.response_serializer)

    def _stream(self, handler: Handler, method: str) -> Stream:
        inner, is_lasting = streaming_behavior(handler), method in self._lasting
        share = _SHARE_OF_IMPORTS if handler.request_streaming else 1
        max_open = max(1, int(share * self._max_streams)) if is_lasting else self._max_open_searches
        call_limits, stream_limits = self._call_limits[method], (Shares(max_open),)

        async def stream(request: Any, context: Context, send: Send) -> None:
            self._shutdown.raise_if_begun()
            _require_time_left(context)
            with _admitted(stream_limits, _stream_refused):
                if is_lasting:
                    await inner(request, context, send)
                    return
                # Counted as a call while a response is made, not while a slow reader reads one.
                with _admitted(call_limits, _call_refused) as counted_call:

                    async def send_uncounted(response: Any) -> None:
                        counted_call.give_back()
                        await send(response)
                        counted_call.take()

                    await inner(request, context, send_uncounted)

        return stream


def _require_time_left(context: Context) -> None:
    # In a burst, gRPC begins calls late; the client has reported DEADLINE_EXCEEDED by then.
    if context.time_remaining() == 0:
        raise DeadlinePassed("the deadline passed before the call was begun")


class _admitted:  # noqa: N801 - read as a function
    """Counts a call towards limits for a block, unless one has no room: raises what `refusal` returns."""

    __slots__ = ("_is_taken", "_limits", "_refusal", "_user")

    def __init__(self, limits: Limits, refusal: Callable[[int, int], Overloaded]) -> None:
        self._limits, self._refusal = limits, refusal
        self._user = served_user.get()
        self._is_taken = False

    def __enter__(self) -> Self:
        for shares in self._limits:
            if not shares.has_room(self._user):
                raise self._refusal(shares.taken_by(self._user), shares.taken)
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_taken:
            self.give_back()

    def take(self) -> None:
        """Counts the call, whether or not there is room."""
        self._is_taken = True
        for shares in self._limits:
            shares.take(self._user)

    def give_back(self) -> None:
        """Counts the call no more."""
        self._is_taken = False
        for shares in self._limits:
            shares.give_back(self._user)


def _call_refused(own: int, count: int) -> Overloaded:
    return Overloaded(
        f"{counted(count, 'calls')} in progress, {own} of them yours: one more would not be answered in time"
    )


def _stream_refused(own: int, count: int) -> Overloaded:
    return Overloaded(
        f"{counted(count, 'such streams')} open, {own} of them yours: this server serves no more",
        retry_after=_STREAM_RETRY_SECONDS,
    )
