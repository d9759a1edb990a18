"""Calls on a synchronous channel: everything in which this client differs from the asynchronous one."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager
from queue import SimpleQueue as Queue
from time import sleep
from typing import TypeAlias, TypeVar, cast

import grpc

from commontrace.client.call_options import CallOptions
from commontrace.client.channel_options import channel_options
from commontrace.client.streams.watchdog import Watchdog
from commontrace.client.tls import Tls
from commontrace.v1 import (
    namespace_service_pb2_grpc,
    tag_service_pb2_grpc,
    trace_service_pb2_grpc,
    vote_service_pb2_grpc,
)

__all__ = ["Calls", "Channel", "Queue", "Source", "iterate", "open_channel", "sleep"]

Channel = grpc.Channel
Request = TypeVar("Request")
Response = TypeVar("Response")
Value = TypeVar("Value")
Source = Iterable[Value]
"""Values that are read one after the other."""
_BothWays: TypeAlias = "grpc.aio.StreamStreamMultiCallable[Request, Response]"
iterate = iter


def open_channel(address: str, tls: Tls | None = None) -> AbstractContextManager[Channel]:
    """Returns a channel, which connects with its first call. Raises ValueError for files of `tls`."""
    if tls is None:
        return grpc.insecure_channel(address, options=channel_options(address))
    return grpc.secure_channel(address, tls.credentials(), options=[*channel_options(address), *tls.channel_options])


class Calls:
    """Base class of all calls: stubs of the services on one channel, and the options of calls."""

    def __init__(self, channel: Channel, options: CallOptions | None = None) -> None:
        # The stubs work with both kinds of channel, but are typed for the asynchronous one.
        typed = cast("grpc.aio.Channel", channel)
        self._traces = trace_service_pb2_grpc.TraceServiceStub(typed)
        self._votes = vote_service_pb2_grpc.VoteServiceStub(typed)
        self._tags = tag_service_pb2_grpc.TagServiceStub(typed)
        self._namespaces = namespace_service_pb2_grpc.NamespaceServiceStub(typed)
        self._options = options or CallOptions()

    def _call(self, method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]", request: Request) -> Response:
        blocking = cast("grpc.UnaryUnaryMultiCallable[Request, Response]", method)
        with self._options.translate_errors():
            return blocking(request, **self._options.arguments())

    def _responses(
        self, method: "grpc.aio.UnaryStreamMultiCallable[Request, Response]", request: Request, seconds: float
    ) -> Generator[Response]:
        """Yields the messages of a stream with a timeout in seconds; closing the generator cancels the call."""
        blocking = cast("grpc.UnaryStreamMultiCallable[Request, Response]", method)
        with self._options.translate_errors():
            call = blocking(request, **self._options.arguments(seconds))
            try:
                for response in call:
                    self._options.server_state.has_answered = True
                    yield response
            finally:
                call.cancel()

    def _responses_without_deadline(
        self,
        method: "grpc.aio.UnaryStreamMultiCallable[Request, Response] | _BothWays[Request, Response]",
        sent: Request | Iterator[Request],
        silence: Callable[[], float],
    ) -> Generator[Response]:
        """Yields the messages of a stream without a deadline, and fails if none arrives within `silence()` seconds.

        Closing the generator cancels the call.
        """
        blocking = cast("grpc.UnaryStreamMultiCallable[Request | Iterator[Request], Response]", method)
        with self._options.translate_errors():
            call = blocking(sent, **self._options.arguments_without_deadline())
            watchdog = Watchdog(call.cancel)
            try:
                while True:
                    with watchdog.limit(silence()):
                        response = next(call, None)
                    if response is None:
                        return
                    self._options.server_state.has_answered = True
                    yield response
            except grpc.RpcError:
                if watchdog.ended_after is None:
                    raise
                raise self._options.silence_failure(watchdog.ended_after) from None
            finally:
                watchdog.close()
                call.cancel()
