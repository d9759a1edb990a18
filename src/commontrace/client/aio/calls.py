"""How calls are made on an asynchronous channel: what differs from the synchronous client, and nothing else."""

from asyncio import CancelledError, Queue, current_task, sleep, timeout
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeAlias, TypeVar, cast

import grpc

from commontrace.client.call_options import CallOptions
from commontrace.client.channel_options import options
from commontrace.client.tls import Tls
from commontrace.v1 import tag_service_pb2_grpc, trace_service_pb2_grpc, vote_service_pb2_grpc

__all__ = ["Calls", "Channel", "Queue", "Source", "each", "open_channel", "sleep"]

Channel = grpc.aio.Channel
Request = TypeVar("Request")
Response = TypeVar("Response")
Value = TypeVar("Value")
Source = Iterable[Value] | AsyncIterable[Value]
"""What is read one after the other."""
_BothWays: TypeAlias = "grpc.aio.StreamStreamMultiCallable[Request, Response]"


def open_channel(address: str, tls: Tls | None = None) -> AbstractAsyncContextManager[Channel]:
    """Returns a channel to use as a context; it connects with the first call. Raises ValueError for files of `tls`."""
    if tls is None:
        return grpc.aio.insecure_channel(address, options=options(address))
    return grpc.aio.secure_channel(address, tls.credentials(), options=[*options(address), *tls.channel_options])


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

    async def _lasting_responses(
        self,
        method: "grpc.aio.UnaryStreamMultiCallable[Request, Response] | _BothWays[Request, Response]",
        sent: Request | AsyncIterator[Request],
        silence: Callable[[], float],
    ) -> AsyncGenerator[Response]:
        """Yields the messages of a stream without a deadline, which fails if none comes for `silence()` seconds.

        Closing it early cancels the call.
        """
        with _saying_if_closed(), self._options.translated():
            begin = cast("Callable[..., grpc.aio.UnaryStreamCall[Request, Response]]", method)
            call = begin(sent, **self._options.lasting_arguments())
            try:
                while (response := await self._next(call, silence())) is not None:
                    self._options.contact.made = True
                    yield response
            finally:
                call.cancel()

    async def _next(self, call: "grpc.aio.UnaryStreamCall[Request, Response]", seconds: float) -> Response | None:
        """Returns the next message, None at the end."""
        try:
            async with timeout(seconds):
                response = await call.read()
        except TimeoutError:
            raise self._options.silent(seconds) from None
        return None if response is grpc.aio.EOF else cast("Response", response)


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
