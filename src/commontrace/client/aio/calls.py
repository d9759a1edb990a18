"""How calls are made on an asynchronous channel: what differs from the synchronous client, and nothing else."""

from asyncio import CancelledError, Queue, current_task, sleep, timeout
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

import grpc

from commontrace.client.call_options import CallOptions
from commontrace.client.channel_options import OPTIONS
from commontrace.v1 import tag_service_pb2_grpc, trace_service_pb2_grpc, vote_service_pb2_grpc

__all__ = ["Calls", "Channel", "Queue", "Source", "each", "open_channel", "sleep"]

Channel = grpc.aio.Channel
Request = TypeVar("Request")
Response = TypeVar("Response")
Value = TypeVar("Value")
Source = Iterable[Value] | AsyncIterable[Value]
"""What is read one after the other."""


def open_channel(address: str) -> AbstractAsyncContextManager[Channel]:
    """Returns a channel to use as a context; it connects with the first call."""
    return grpc.aio.insecure_channel(address, options=OPTIONS)


async def each(source: Source[Value]) -> AsyncIterator[Value]:
    """Yields what the source holds."""
    if isinstance(source, AsyncIterable):
        async for value in source:
            yield value
    else:
        for value in source:
            yield value


class Calls:
    """What the calls of all services share."""

    def __init__(self, channel: Channel, options: CallOptions | None = None) -> None:
        """Takes an open channel; `connect` makes one."""
        self._traces = trace_service_pb2_grpc.TraceServiceStub(channel)
        self._votes = vote_service_pb2_grpc.VoteServiceStub(channel)
        self._tags = tag_service_pb2_grpc.TagServiceStub(channel)
        self._options = options or CallOptions()

    async def _call(self, method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]", request: Request) -> Response:
        with _saying_if_closed(), self._options.translated():
            call = method(request, **self._options.arguments())
            try:
                return await call
            finally:
                # gRPC neither collects nor ends a call that nobody waits for any more.
                call.cancel()

    async def _responses(
        self, method: "grpc.aio.UnaryStreamMultiCallable[Request, Response]", request: Request, seconds: float
    ) -> AsyncGenerator[Response]:
        """Yields the messages of a stream that may take so many seconds; closing it early cancels the call."""
        with _saying_if_closed(), self._options.translated():
            call = method(request, **self._options.arguments(seconds))
            try:
                async for response in call:
                    self._options.contact.made = True
                    yield response
            finally:
                call.cancel()

    async def _exchanged(
        self,
        method: "grpc.aio.StreamStreamMultiCallable[Request, Response]",
        requests: AsyncIterator[Request],
        seconds_left: Callable[[], float],
    ) -> AsyncGenerator[Response]:
        """Sends requests and yields their answers; the next one may take as long as `seconds_left` says.

        Closing it early cancels the call.
        """
        with _saying_if_closed(), self._options.translated():
            call = method(requests, **self._options.endless())
            responses = aiter(call)
            try:
                while True:
                    try:
                        async with timeout(seconds_left()):
                            response = await anext(responses)
                    except StopAsyncIteration:
                        return
                    except TimeoutError:
                        raise self._options.silence() from None
                    self._options.contact.made = True
                    yield response
            finally:
                call.cancel()


@contextmanager
def _saying_if_closed() -> Iterator[None]:
    """Raises RuntimeError where the call's channel was closed, for which gRPC has two other exceptions."""
    try:
        yield
    except grpc.aio.UsageError as error:
        raise RuntimeError(f"the client is closed: {error}") from error
    except CancelledError as error:
        task = current_task()
        if task is None or task.cancelling():
            raise
        # Nobody cancelled the task: who waits for it would look for one in vain.
        raise RuntimeError("the client was closed during the call") from error
