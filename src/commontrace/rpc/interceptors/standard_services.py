"""Health and reflection: their malformed and slow requests are refused as those of CommonTrace's own services.

By default, grpc.aio answers UNKNOWN with the text of an exception, and waits for a message without end.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from commontrace.domain.errors import CommonTraceError
from commontrace.rpc.call import Context
from commontrace.rpc.call_ids import call_id
from commontrace.rpc.error_codes import status_of
from commontrace.rpc.interceptors.base import AroundInterceptor, Handler
from commontrace.rpc.parsing import parse
from commontrace.rpc.request_receiver import RequestReceiver

# Requests are names of services, files and symbols; a health watch holds its own as long as it lasts.
_REQUEST_BYTES = 4096


class StandardServicesInterceptor(AroundInterceptor):
    """Receives and parses the requests of services that are not CommonTrace's own, and maps what is wrong with them."""

    reads_bytes = True

    def __init__(self) -> None:
        super().__init__()
        # Calls here carry no key: all of them share the limits of anonymous callers.
        self._receiver = RequestReceiver()
        # Streams of requests are often idle: they take no room from slow messages.
        self._stream_receiver = RequestReceiver()

    def is_for(self, method: str) -> bool:
        """Tells whether the method belongs to another service than CommonTrace's own."""
        return not super().is_for(method)

    @asynccontextmanager
    async def around(self, handler: Handler, method: str, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ARG002
        """Yields the parsed request."""
        try:
            if handler.request_streaming:
                yield self._parse_each(handler, request)
            else:
                yield _parse(handler, await self._receiver.receive(request))
        except CommonTraceError as error:
            await _abort(error, context)

    def end_idle_streams(self) -> None:
        """Ends the streams that wait for a request, at shutdown."""
        self._stream_receiver.end_slow()

    async def _parse_each(self, handler: Handler, requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        while isinstance(request := await self._stream_receiver.receive(requests), bytes):
            yield _parse(handler, request)


def _parse(handler: Handler, request: bytes | CommonTraceError) -> Any:
    return parse(handler, request, max_bytes=_REQUEST_BYTES)


async def _abort(error: CommonTraceError, context: Context) -> None:
    status: Any = status_of(error, call_id=call_id(context.invocation_metadata() or ()))
    await context.abort_with_status(status)
