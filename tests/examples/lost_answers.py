"""A way to the server on which answers get lost, as they do when it is restarted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from commontrace import USER_METADATA
from tests.support.generic_server import answering

Context = grpc.aio.ServicerContext[bytes, bytes]


class LosesAnswers(grpc.GenericRpcHandler):
    """Passes calls on, but reports UNAVAILABLE instead of the first answer to each request; streams arrive whole."""

    def __init__(self, server: grpc.aio.Channel) -> None:
        self._server = server
        self.received: list[tuple[str, bytes]] = []
        self._lost: set[bytes] = set()

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        async def answer(request: bytes, context: Context) -> bytes:
            self.received.append((details.method.rpartition("/")[2], request))
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._server.unary_unary(details.method)
            try:
                response = await call(request, **_as_the_caller(context))
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata()))
            if request not in self._lost:
                self._lost.add(request)
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer was lost")
            return response

        async def stream(request: bytes, context: Context) -> AsyncIterator[bytes]:
            call: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = self._server.unary_stream(details.method)
            async for response in call(request, **_as_the_caller(context)):
                yield response

        if details.method.endswith("/SearchTraces"):
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(answer)


def _as_the_caller(context: Context) -> dict[str, Any]:
    metadata = context.invocation_metadata() or ()
    timeout = context.time_remaining()
    assert timeout is not None, "a call without a deadline"
    return {"timeout": timeout, "metadata": [(key, value) for key, value in metadata if key == USER_METADATA]}


@asynccontextmanager
async def losing_answers(address: str) -> AsyncIterator[tuple[str, LosesAnswers]]:
    """Yields the address of a way to the server at `address`, and what was sent along it."""
    async with grpc.aio.insecure_channel(address) as channel:
        way = LosesAnswers(channel)
        async with answering(way) as here:
            yield here, way
