"""Error mapping: every exception of a call becomes a gRPC status with a code and a reason, and shows no more."""

import asyncio
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

import grpc
import structlog

from commontrace.domain.errors import DatabaseUnavailable, OperatorNeeded
from commontrace.domain.log_safety import operator_facts
from commontrace.rpc.call import Context, current_call
from commontrace.rpc.call_ids import REQUEST_ID_METADATA
from commontrace.rpc.error_codes import code_and_reason, reason_name, status_of
from commontrace.rpc.interceptors.base import AroundInterceptor, Handler

log = structlog.get_logger()


class ErrorMappingInterceptor(AroundInterceptor):
    """Translates every exception into a status. By default, grpc.aio answers UNKNOWN with the text of the exception."""

    def around(self, handler: Handler, method: str, request: Any, context: Context) -> AbstractAsyncContextManager[Any]:  # noqa: ARG002
        """Yields the request unchanged. Aborts the call where something raises."""
        return _Mapping(request, context)


class _Mapping:
    """A class: as a generator, it would cost every call more."""

    __slots__ = ("_context", "_request")

    def __init__(self, request: Any, context: Context) -> None:
        self._request, self._context = request, context

    async def __aenter__(self) -> Any:
        return self._request

    async def __aexit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        match error:
            case None | grpc.aio.AbortError() | grpc.aio.InternalError():
                # The call is aborted already, or over.
                return
            case asyncio.CancelledError():
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    return
                # Something inside was cancelled, not this call: without a status the caller would wait without end.
                await _abort(DatabaseUnavailable("the work was interrupted"), error, self._context)
            case Exception():
                # The last one to handle it; unknown exceptions are logged.
                await _abort(error, error, self._context)


async def _abort(error: Exception, cause: BaseException, context: Context) -> None:
    call = current_call.get()
    code, reason = code_and_reason(error)
    call.code, call.reason = code, reason_name(reason)
    if code is grpc.StatusCode.INTERNAL:
        log.error("unexpected failure", call_id=call.id, method=call.method, exc_info=cause)
    elif isinstance(error, OperatorNeeded):
        log.error("the database has to be mended", call_id=call.id, method=call.method, **operator_facts(error))
    status: Any = status_of(error, call_id=call.id)
    # An abort replaces the trailing metadata that were set before.
    await context.abort_with_status(
        status._replace(trailing_metadata=(*status.trailing_metadata, (REQUEST_ID_METADATA, call.id)))
    )
