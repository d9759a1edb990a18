"""Takes in the requests of a call that is authenticated and admitted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from commontrace.rpc.call import Context, current_caller
from commontrace.rpc.interceptors.base import Handler, Interceptor
from commontrace.rpc.parsing import parsed
from commontrace.rpc.request_receiver import RequestReceiver, no_message


class ReceivingInterceptor(Interceptor):
    """Receives the one request of a call, or each of a stream as it is read, and parses it."""

    reads_bytes = True

    def __init__(self, arrivals: RequestReceiver) -> None:
        """Takes who waits for messages."""
        super().__init__()
        self._arrivals = arrivals

    @asynccontextmanager
    async def around(self, handler: Handler, method: str, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ARG002
        """Yields the parsed request. Raises MalformedRequest, Overloaded, RequestTooLarge."""
        if handler.request_streaming:
            yield _all_parsed(handler, request)
        else:
            yield parsed(handler, await self._arrivals.next(request, user=current_caller().email))


async def _all_parsed(handler: Handler, requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    # The first one is missed where there is none.
    first = await anext(requests, None)
    yield parsed(handler, no_message() if first is None else first)
    async for request in requests:
        yield parsed(handler, request)
