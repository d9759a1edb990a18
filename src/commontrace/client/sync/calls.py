"""How calls are made on a synchronous channel: what differs from the asynchronous client, and nothing else."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager
from queue import SimpleQueue as Queue
from time import sleep
from typing import TypeAlias, TypeVar, cast

import grpc

from commontrace.client.call_options import CallOptions
from commontrace.client.channel_options import options
from commontrace.client.streams.watchdog import Watchdog
from commontrace.client.tls import Tls
from commontrace.v1 import tag_service_pb2_grpc, trace_service_pb2_grpc, vote_service_pb2_grpc

__all__ = ["Calls", "Channel", "Queue", "Source", "each", "open_channel", "sleep"]

Channel = grpc.Channel
Request = TypeVar("Request")
Response = TypeVar("Response")
Value = TypeVar("Value")
Source = Iterable[Value]
"""What is read one after the other."""
_BothWays: TypeAlias = "grpc.aio.StreamStreamMultiCallable[Request, Response]"
each = iter


def open_channel(address: str, tls: Tls | None = None) -> AbstractContextManager[Channel]:
    """Returns a channel to use as a context; it connects with the first call. Raises ValueError for files of `tls`."""
    if tls is None:
        return grpc.insecure_channel(address, options=options(address))
    return grpc.secure_channel(address, tls.credentials(), options=[*options(address), *tls.channel_options])


class Calls:
    """What the calls of all services share."""

    def __init__(self, channel: Channel, options: CallOptions | None = None) -> None:
        """Takes an open channel; `connect` makes one."""
        # The stubs serve both kinds of channel; they are typed for the other.
        typed = cast("grpc.aio.Channel", channel)
        self._traces = trace_service_pb2_grpc.TraceServiceStub(typed)
        self._votes = vote_service_pb2_grpc.VoteServiceStub(typed)
        self._tags = tag_service_pb2_grpc.TagServiceStub(typed)
        self._options = options or CallOptions()

    def _call(self, method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]", request: Request) -> Response:
        blocking = cast("grpc.UnaryUnaryMultiCallable[Request, Response]", method)
        with self._options.translated():
            return blocking(request, **self._options.arguments())

    def _responses(
        self, method: "grpc.aio.UnaryStreamMultiCallable[Request, Response]", request: Request, seconds: float
    ) -> Generator[Response]:
        """Yields the messages of a stream that may take so many seconds; closing it early cancels the call."""
        blocking = cast("grpc.UnaryStreamMultiCallable[Request, Response]", method)
        with self._options.translated():
            call = blocking(request, **self._options.arguments(seconds))
            try:
                for response in call:
                    self._options.contact.made = True
                    yield response
            finally:
                call.cancel()

    def _lasting_responses(
        self,
        method: "grpc.aio.UnaryStreamMultiCallable[Request, Response] | _BothWays[Request, Response]",
        sent: Request | Iterator[Request],
        silence: Callable[[], float],
    ) -> Generator[Response]:
        """Yields the messages of a stream without a deadline, which fails if none comes for `silence()` seconds.

        Closing it early cancels the call.
        """
        blocking = cast("grpc.UnaryStreamMultiCallable[Request | Iterator[Request], Response]", method)
        with self._options.translated():
            call = blocking(sent, **self._options.lasting_arguments())
            patience = Watchdog(call.cancel)
            try:
                while True:
                    with patience.of(silence()):
                        response = next(call, None)
                    if response is None:
                        return
                    self._options.contact.made = True
                    yield response
            except grpc.RpcError:
                if patience.ended_after is None:
                    raise
                raise self._options.silent(patience.ended_after) from None
            finally:
                patience.close()
                call.cancel()
