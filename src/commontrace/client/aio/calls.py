"""Calls on an asynchronous channel: everything in which this client differs from the synchronous one."""

from asyncio import CancelledError, Queue, current_task, sleep, timeout
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeAlias, TypeVar, cast

import grpc

from commontrace.client.call_options import CallOptions
from commontrace.client.channel_options import channel_options
from commontrace.client.tls import Tls
from commontrace.v1 import (
    namespace_service_pb2_grpc,
    tag_service_pb2_grpc,
    trace_service_pb2_grpc,
    vote_service_pb2_grpc,
)

__all__ = ["Calls", "Channel", "Queue", "Source", "iterate", "open_channel", "sleep"]

Channel = grpc.aio.Channel
Request = TypeVar("Request")
Response = TypeVar("Response")
Value = TypeVar("Value")
Source = Iterable[Value] | AsyncIterable[Value]
"""Values that are read one after the other."""
_BothWays: TypeAlias = "grpc.aio.StreamStreamMultiCallable[Request, Response]"


def open_channel(address: str, tls: Tls | None = None) -> AbstractAsyncContextManager[Channel]:
    """Returns a channel, which connects with its first call. Raises ValueError for files of `tls`."""
    if tls is None:
        return grpc.aio.insecure_channel(address, options=channel_options(address))
    return grpc.aio.secure_channel(
        address, tls.credentials(), options=[*channel_options(address), *tls.channel_options]
    )


async def iterate(source: Source[Value]) -> AsyncIterator[Value]:
    """Yields the values of a synchronous or asynchronous source."""
    if isinstance(source, AsyncIterable):
        async for value in source:
            yield value
    else:
        for value in source:
            yield value


class Calls:
    """Base class of all calls: stubs of the services on one channel, and the options of calls."""

    def __init__(self, channel: Channel, options: CallOptions | None = None) -> None:
        self._traces = trace_service_pb2_grpc.TraceServiceStub(channel)
        self._votes = vote_service_pb2_grpc.VoteServiceStub(channel)
        self._tags = tag_service_pb2_grpc.TagServiceStub(channel)
        self._namespaces = namespace_service_pb2_grpc.NamespaceServiceStub(channel)
        self._options = options or CallOptions()

    async def _call(self, method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]", request: Request) -> Response:
        with _translate_closed_channel(), self._options.translate_errors():
            call = method(request, **self._options.arguments())
            try:
                return await call
            finally:
                # A cancelled task does not end its call: gRPC would keep it until the deadline.
                call.cancel()

    async def _responses(
        self, method: "grpc.aio.UnaryStreamMultiCallable[Request, Response]", request: Request, seconds: float
    ) -> AsyncGenerator[Response]:
        """Yields the messages of a stream with a timeout in seconds; closing the generator cancels the call."""
        with _translate_closed_channel(), self._options.translate_errors():
            call = method(request, **self._options.arguments(seconds))
            try:
                async for response in call:
                    self._options.server_state.has_answered = True
                    yield response
            finally:
                call.cancel()

    async def _responses_without_deadline(
        self,
        method: "grpc.aio.UnaryStreamMultiCallable[Request, Response] | _BothWays[Request, Response]",
        sent: Request | AsyncIterator[Request],
        silence: Callable[[], float],
    ) -> AsyncGenerator[Response]:
        """Yields the messages of a stream without a deadline, and fails if none arrives within `silence()` seconds.

        Closing the generator cancels the call.
        """
        with _translate_closed_channel(), self._options.translate_errors():
            begin = cast("Callable[..., grpc.aio.UnaryStreamCall[Request, Response]]", method)
            call = begin(sent, **self._options.arguments_without_deadline())
            try:
                while (response := await self._next(call, silence())) is not None:
                    self._options.server_state.has_answered = True
                    yield response
            finally:
                call.cancel()

    async def _next(self, call: "grpc.aio.UnaryStreamCall[Request, Response]", seconds: float) -> Response | None:
        """Returns the next message, None at the end of the stream; fails after so many seconds without one."""
        try:
            async with timeout(seconds):
                response = await call.read()
        except TimeoutError:
            raise self._options.silence_failure(seconds) from None
        return None if response is grpc.aio.EOF else cast("Response", response)


@contextmanager
def _translate_closed_channel() -> Iterator[None]:
    """Raises RuntimeError for calls of a closed channel, instead of gRPC's UsageError and CancelledError."""
    try:
        yield
    except grpc.aio.UsageError as error:
        raise RuntimeError(f"the client is closed: {error}") from error
    except CancelledError as error:
        task = current_task()
        if task is None or task.cancelling():
            raise
        # The task was not cancelled, so a CancelledError would mislead its caller.
        raise RuntimeError("the client was closed during the call") from error
