"""Takes in a call's one message. Left to itself, grpc.aio never answers a call that ends without one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

import grpc

from commontrace.rpc.call import Context
from commontrace.rpc.interceptors.interceptor import Handler, WrappingInterceptor, streaming_behavior, unary_behavior

RECEIVE_SECONDS = 20.0
"""So long a message may take to come, for whoever is still unknown then. A whole one of 1 MiB takes that at 50 KB/s."""


class ReceivingInterceptor(WrappingInterceptor):
    """Receives a stream and passes on its first message as bytes, None where there is none in time.

    What expects a stream gets it as it is.
    """

    def wrap(self, handler: Handler, method: str) -> Handler:  # noqa: ARG002 - alike for all
        """Returns a handler that receives a stream: on the wire, one message is a stream of one."""
        if handler.request_streaming:
            return handler
        if handler.response_streaming:
            stream_inside = streaming_behavior(handler)

            async def stream(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
                async with aclosing(stream_inside(await _first(requests), context)) as responses:
                    async for response in responses:
                        yield response

            return grpc.stream_stream_rpc_method_handler(stream, None, handler.response_serializer)

        answer_inside = unary_behavior(handler)

        async def unary(requests: AsyncIterator[bytes], context: Context) -> Any:
            return await answer_inside(await _first(requests), context)

        return grpc.stream_unary_rpc_method_handler(unary, None, handler.response_serializer)


async def _first(requests: AsyncIterator[bytes]) -> bytes | None:
    with suppress(TimeoutError):
        async with asyncio.timeout(RECEIVE_SECONDS):
            return await anext(requests, None)
    return None
