"""How calls are made on a synchronous channel: what differs from the asynchronous client, and nothing else."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager
from queue import SimpleQueue as Queue
from threading import Event, Timer
from time import sleep
from typing import TypeVar, cast

import grpc

from commontrace.client.call_options import CallOptions
from commontrace.client.channel_options import OPTIONS
from commontrace.v1 import tag_service_pb2_grpc, trace_service_pb2_grpc, vote_service_pb2_grpc

__all__ = ["Calls", "Channel", "Queue", "Source", "each", "open_channel", "sleep"]

Channel = grpc.Channel
Request = TypeVar("Request")
Response = TypeVar("Response")
Value = TypeVar("Value")
Source = Iterable[Value]
"""What is read one after the other."""
each = iter


def open_channel(address: str) -> AbstractContextManager[Channel]:
    """Returns a channel to use as a context; it connects with the first call."""
    return grpc.insecure_channel(address, options=OPTIONS)


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

    def _exchanged(
        self,
        method: "grpc.aio.StreamStreamMultiCallable[Request, Response]",
        requests: Iterator[Request],
        seconds_left: Callable[[], float],
    ) -> Generator[Response]:
        """Sends requests and yields their answers; the next one may take as long as `seconds_left` says.

        Closing it early cancels the call.
        """
        blocking = cast("grpc.StreamStreamMultiCallable[Request, Response]", method)
        with self._options.translated():
            call = blocking(requests, **self._options.endless())
            try:
                while True:
                    waited_enough = Event()

                    def give_up(said: Event = waited_enough) -> None:
                        said.set()
                        call.cancel()

                    # gRPC knows deadlines of calls alone.
                    patience = Timer(seconds_left(), give_up)
                    patience.daemon = True
                    patience.start()
                    try:
                        response = next(call)
                    except StopIteration:
                        return
                    except grpc.RpcError:
                        if waited_enough.is_set():
                            raise self._options.silence() from None
                        raise
                    finally:
                        patience.cancel()
                    self._options.contact.made = True
                    yield response
            finally:
                call.cancel()
