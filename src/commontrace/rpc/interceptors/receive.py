"""Receiving and parsing of requests, after their call is authenticated and admitted."""

from collections.abc import AsyncIterator
from typing import Any

from commontrace.rpc.call import current_caller
from commontrace.rpc.interceptors.base import Handler, PreparingInterceptor
from commontrace.rpc.parsing import parse
from commontrace.rpc.request_receiver import RequestReceiver, missing_message


class ReceiveInterceptor(PreparingInterceptor):
    """Receives and parses the one request of a call, or each request of a stream when it is read."""

    reads_bytes = True

    def __init__(self, receiver: RequestReceiver) -> None:
        super().__init__()
        self._receiver = receiver

    async def prepared(self, handler: Handler, method: str, request: Any) -> Any:  # noqa: ARG002
        """Returns the parsed request. Raises MalformedRequest, Overloaded, RequestTooLarge."""
        if handler.request_streaming:
            return _parse_each(handler, request)
        return parse(handler, await self._receiver.receive(request, user=current_caller().email))


async def _parse_each(handler: Handler, requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    # A stream of no messages is an error.
    first = await anext(requests, None)
    yield parse(handler, missing_message() if first is None else first)
    async for request in requests:
        yield parse(handler, request)
