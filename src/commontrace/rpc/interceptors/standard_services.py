"""Health and reflection, which others specified: with the answers that every other service here gives to garbage.

grpc.aio itself would tell callers UNKNOWN and the text of an exception, and wait for ever for a message.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from commontrace.core.errors import CommonTraceError
from commontrace.rpc.arrivals import Arrivals
from commontrace.rpc.call import Context
from commontrace.rpc.call_ids import call_id
from commontrace.rpc.interceptors.interceptor import Handler, WrappingInterceptor, streaming_behavior, unary_behavior
from commontrace.rpc.parsing import parsed
from commontrace.rpc.status import status_of

# Names of services, files and symbols. A watch of health keeps its name for as long as it lasts.
_REQUEST_BYTES = 4096


class StandardServicesInterceptor(WrappingInterceptor):
    """Receives and parses the requests of services that are not CommonTrace's own."""

    def __init__(self, arrivals: Arrivals) -> None:
        """Takes who waits for messages."""
        super().__init__()
        self._arrivals = arrivals
        # Streams of requests are often idle: they take no place from messages that are slow.
        self._idle = Arrivals()

    def is_for(self, method: str) -> bool:
        """Tells whether the method is not of our contract."""
        return not super().is_for(method)

    def wrap(self, handler: Handler, method: str) -> Handler:  # noqa: ARG002 - alike for all
        """Returns a handler that receives a stream: on the wire, one message is a stream of one."""
        if handler.response_streaming:
            stream_inside = streaming_behavior(handler)

            async def stream(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
                try:
                    request = (
                        self._each(handler, requests)
                        if handler.request_streaming
                        else await self._one(handler, requests)
                    )
                    async with aclosing(stream_inside(request, context)) as responses:
                        async for response in responses:
                            yield response
                except CommonTraceError as error:
                    await _abort(error, context)

            return grpc.stream_stream_rpc_method_handler(stream, None, handler.response_serializer)

        answer_inside = unary_behavior(handler)

        async def unary(requests: AsyncIterator[bytes], context: Context) -> Any:
            try:
                return await answer_inside(await self._one(handler, requests), context)
            except CommonTraceError as error:
                await _abort(error, context)

        return grpc.stream_unary_rpc_method_handler(unary, None, handler.response_serializer)

    def end_idle(self) -> None:
        """Ends streams on which nothing is asked."""
        self._idle.give_up()

    async def _one(self, handler: Handler, requests: AsyncIterator[bytes]) -> Any:
        return parsed(handler, await self._arrivals.next(requests), most=_REQUEST_BYTES)

    async def _each(self, handler: Handler, requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        while isinstance(request := await self._idle.next(requests), bytes):
            yield parsed(handler, request, most=_REQUEST_BYTES)


async def _abort(error: CommonTraceError, context: Context) -> None:
    status: Any = status_of(error, call_id=call_id(context.invocation_metadata() or ()))
    await context.abort_with_status(status)
