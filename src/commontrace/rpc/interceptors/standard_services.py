"""Health and reflection, as others wrote them: with the answers that every other service here gives to garbage.

grpc.aio itself would tell callers UNKNOWN and the text of an exception, and wait for ever for a message.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeAlias, cast

import grpc

from commontrace.core.errors import CommonTraceError
from commontrace.rpc.arrivals import Arrivals
from commontrace.rpc.call import Context
from commontrace.rpc.call_ids import call_id
from commontrace.rpc.interceptors.interceptor import Handler, WrappingInterceptor, streaming_behavior
from commontrace.rpc.invalid_request import MalformedRequest, RequestTooLarge
from commontrace.rpc.parsing import parsed
from commontrace.rpc.status import status_of

# Names of services, files and symbols. A watch of health keeps its name for as long as it lasts.
_REQUEST_BYTES = 4096

Coroutine: TypeAlias = Callable[[Any, Context], Awaitable[Any]]


class StandardServicesInterceptor(WrappingInterceptor):
    """Receives and parses the requests of services that are not CommonTrace's own."""

    def __init__(self, arrivals: Arrivals) -> None:
        """Takes who waits for messages."""
        super().__init__()
        self._arrivals = arrivals
        # Streams of requests are often idle: they take no place from messages that are slow.
        self._idle = Arrivals()

    def is_for(self, method: str) -> bool:
        """Tells whether somebody else wrote the method."""
        return not super().is_for(method)

    def wrap(self, handler: Handler, method: str) -> Handler:  # noqa: ARG002 - alike for all
        """Returns a handler that receives a stream: on the wire, one message is a stream of one."""
        if handler.request_streaming:
            stream_inside = streaming_behavior(handler)

            async def both(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
                try:
                    async with aclosing(stream_inside(self._each(handler, requests), context)) as responses:
                        async for response in responses:
                            yield response
                except (MalformedRequest, RequestTooLarge) as error:
                    await _abort(error, context)

            return grpc.stream_stream_rpc_method_handler(both, None, handler.response_serializer)

        # Health's stream is a coroutine, too: it writes its responses by itself.
        inside = cast("Coroutine", handler.unary_stream if handler.response_streaming else handler.unary_unary)

        async def one(requests: AsyncIterator[bytes], context: Context) -> Any:
            try:
                return await inside(_parsed(handler, await self._arrivals.next(requests)), context)
            except (MalformedRequest, RequestTooLarge) as error:
                await _abort(error, context)
            except NotImplementedError:
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the server does not have this method")

        of_kind: Any = (
            grpc.stream_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )
        return cast("Handler", of_kind(one, None, handler.response_serializer))

    async def _each(self, handler: Handler, requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        while (request := await self._idle.next(requests)) is not None:
            yield _parsed(handler, request)


def _parsed(handler: Handler, request: bytes | None) -> Any:
    return parsed(handler, request, most=_REQUEST_BYTES)


async def _abort(error: CommonTraceError, context: Context) -> None:
    status: Any = status_of(error, call_id=call_id(context.invocation_metadata() or ()))
    await context.abort_with_status(status)
