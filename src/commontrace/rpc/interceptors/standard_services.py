"""Health and reflection, which others specified: with the answers that every other service here gives to garbage.

grpc.aio itself would tell callers UNKNOWN and the text of an exception, and wait for ever for a message.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from commontrace.domain.errors import CommonTraceError
from commontrace.rpc.call import Context
from commontrace.rpc.call_ids import call_id
from commontrace.rpc.interceptors.base import Handler, Interceptor
from commontrace.rpc.parsing import parsed
from commontrace.rpc.request_receiver import RequestReceiver
from commontrace.rpc.status import status_of

# Names of services, files and symbols. A watch of health keeps its name for as long as it lasts.
_REQUEST_BYTES = 4096


class StandardServicesInterceptor(Interceptor):
    """Parses the requests of services that are not CommonTrace's own; what is wrong with them becomes a status."""

    reads_bytes = True

    def __init__(self) -> None:
        """Starts without streams."""
        super().__init__()
        # Nobody shows a key here: these places are all that strangers have.
        self._arrivals = RequestReceiver()
        # Streams of requests are often idle: they take no place from messages that are slow.
        self._idle = RequestReceiver()

    def is_for(self, method: str) -> bool:
        """Tells whether the method is not of our contract."""
        return not super().is_for(method)

    @asynccontextmanager
    async def around(self, handler: Handler, method: str, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ARG002
        """Yields the parsed request."""
        try:
            if handler.request_streaming:
                yield self._each(handler, request)
            else:
                yield _parsed(handler, await self._arrivals.next(request))
        except CommonTraceError as error:
            await _abort(error, context)

    def end_idle(self) -> None:
        """Ends streams on which nothing is asked."""
        self._idle.give_up()

    async def _each(self, handler: Handler, requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        while isinstance(request := await self._idle.next(requests), bytes):
            yield _parsed(handler, request)


def _parsed(handler: Handler, request: bytes | CommonTraceError) -> Any:
    return parsed(handler, request, most=_REQUEST_BYTES)


async def _abort(error: CommonTraceError, context: Context) -> None:
    status: Any = status_of(error, call_id=call_id(context.invocation_metadata() or ()))
    await context.abort_with_status(status)
