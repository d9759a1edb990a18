"""Receiving and parsing of requests, after their call is authenticated and admitted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from commontrace.rpc.call import Context, current_caller
from commontrace.rpc.interceptors.base import AroundInterceptor, Handler
from commontrace.rpc.parsing import parse
from commontrace.rpc.request_receiver import RequestReceiver, missing_message


class ReceiveInterceptor(AroundInterceptor):
    """Receives and parses the one request of a call, or each request of a stream when it is read."""

    reads_bytes = True

    def __init__(self, receiver: RequestReceiver) -> None:
        super().__init__()
        self._receiver = receiver

    @asynccontextmanager
    async def around(self, handler: Handler, method: str, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ARG002
        """Yields the parsed request. Raises MalformedRequest, Overloaded, RequestTooLarge."""
        if handler.request_streaming:
            yield _parse_each(handler, request)
        else:
            yield parse(handler, await self._receiver.receive(request, user=current_caller().email))


async def _parse_each(handler: Handler, requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    # A stream of no messages is an error.
    first = await anext(requests, None)
    yield parse(handler, missing_message() if first is None else first)
    async for request in requests:
        yield parse(handler, request)
