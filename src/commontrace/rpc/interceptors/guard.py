"""Nothing escapes: what goes wrong inside reaches the caller as a code, a reason and no more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import structlog

from commontrace.core.errors import DatabaseUnavailable
from commontrace.rpc.arrivals import no_message
from commontrace.rpc.call import Context, current_call
from commontrace.rpc.call_ids import REQUEST_ID_METADATA
from commontrace.rpc.interceptors.interceptor import Handler, Interceptor
from commontrace.rpc.parsing import parsed
from commontrace.rpc.status import code_and_reason, reason_name, status_of

log = structlog.get_logger()


class GuardInterceptor(Interceptor):
    """Parses requests and turns every exception into a status.

    grpc.aio itself would answer UNKNOWN with the exception's text, for requests that cannot be parsed too.
    """

    reads_bytes = True

    @asynccontextmanager
    async def around(self, handler: Handler, method: str, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ARG002
        """Yields the parsed request."""
        try:
            yield _all_parsed(handler, request) if handler.request_streaming else parsed(handler, request)
        except grpc.aio.AbortError:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Something inside was cancelled, not this call: without a status the caller would wait for ever.
            await _abort(DatabaseUnavailable("the work was interrupted"), error, context)
        except Exception as error:  # noqa: BLE001 - the last line of defence, which logs what it does not know
            await _abort(error, error, context)


async def _all_parsed(handler: Handler, requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    # The first one is missed where there is none.
    first = await anext(requests, None)
    yield parsed(handler, no_message() if first is None else first)
    async for request in requests:
        yield parsed(handler, request)


async def _abort(error: Exception, cause: BaseException, context: Context) -> None:
    call = current_call.get()
    code, reason = code_and_reason(error)
    call.code, call.reason = code, reason_name(reason)
    if code is grpc.StatusCode.INTERNAL:
        log.error("unexpected failure", call_id=call.id, method=call.method, exc_info=cause)
    status: Any = status_of(error, call_id=call.id)
    # What was set as trailing metadata before, an abort leaves out.
    await context.abort_with_status(
        status._replace(trailing_metadata=(*status.trailing_metadata, (REQUEST_ID_METADATA, call.id)))
    )
