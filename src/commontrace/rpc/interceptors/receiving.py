"""Takes in a call's one message. Left to itself, grpc.aio never answers a call that ends without one."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from commontrace.rpc.arrivals import Arrivals
from commontrace.rpc.call import Context
from commontrace.rpc.interceptors.interceptor import Handler, WrappingInterceptor, streaming_behavior, unary_behavior


class ReceivingInterceptor(WrappingInterceptor):
    """Receives a stream and passes on its first message as bytes, or why there is none, for every service.

    What expects a stream gets it as it is.
    """

    def __init__(self, arrivals: Arrivals) -> None:
        """Takes who waits for messages."""
        super().__init__()
        self._arrivals = arrivals

    def is_for(self, method: str) -> bool:  # noqa: ARG002 - alike for all
        """Tells that every method is wrapped."""
        return True

    def wrap(self, handler: Handler, method: str) -> Handler:  # noqa: ARG002 - alike for all
        """Returns a handler that receives a stream: on the wire, one message is a stream of one."""
        if handler.request_streaming:
            return handler
        if handler.response_streaming:
            stream_inside = streaming_behavior(handler)

            async def stream(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
                async with aclosing(stream_inside(await self._arrivals.next(requests), context)) as responses:
                    async for response in responses:
                        yield response

            return grpc.stream_stream_rpc_method_handler(stream, None, handler.response_serializer)

        answer_inside = unary_behavior(handler)

        async def unary(requests: AsyncIterator[bytes], context: Context) -> Any:
            return await answer_inside(await self._arrivals.next(requests), context)

        return grpc.stream_unary_rpc_method_handler(unary, None, handler.response_serializer)
