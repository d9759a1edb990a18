"""Access log: one line for each call, with its final code; never a text or a query (ADR 0033)."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

import grpc
import structlog

from commontrace.rpc.call import Call, CallObserver, Context, current_call
from commontrace.rpc.call_ids import REQUEST_ID_METADATA, call_id
from commontrace.rpc.calls_in_progress import CallsInProgress
from commontrace.rpc.interceptors.base import AroundInterceptor, Handler

log = structlog.get_logger()


class LoggingInterceptor(AroundInterceptor):
    """Creates the context of the call, counts it while it lasts, and logs it when it ends. `observers` see it, too."""

    def __init__(self, calls: CallsInProgress, observers: Sequence[CallObserver] = ()) -> None:
        super().__init__()
        self._calls = calls
        self._observers = observers

    def around(self, handler: Handler, method: str, request: Any, context: Context) -> AbstractAsyncContextManager[Any]:  # noqa: ARG002
        """Yields the request unchanged, and logs the final code: every other interceptor of ours is inside."""
        return _Logged(self._calls, self._observers, method, request, context)


class _Logged:
    """A class: as a generator, it would cost every call more."""

    __slots__ = ("_call", "_calls", "_context", "_method", "_observers", "_request", "_started")

    def __init__(
        self, calls: CallsInProgress, observers: Sequence[CallObserver], method: str, request: Any, context: Context
    ) -> None:
        self._calls, self._observers = calls, observers
        self._method, self._request, self._context = method, request, context

    async def __aenter__(self) -> Any:
        context, method = self._context, self._method
        metadata = context.invocation_metadata() or ()
        call = self._call = Call(method=method.removeprefix("/commontrace.v1."), id=call_id(metadata))
        current_call.set(call)
        # Trailing: initial metadata would be a frame of their own, a third of the cost of the cheapest call.
        context.set_trailing_metadata(((REQUEST_ID_METADATA, call.id),))
        for observer in self._observers:
            observer.begun(call, metadata)
        self._started = time.perf_counter()
        self._calls.__enter__()
        return self._request

    async def __aexit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        call = self._call
        self._calls.__exit__(None, None, None)
        if isinstance(error, asyncio.CancelledError | GeneratorExit | grpc.aio.InternalError):
            # The caller has left, or gRPC has ended the call at its deadline.
            is_late = self._context.time_remaining() == 0
            call.code = grpc.StatusCode.DEADLINE_EXCEEDED if is_late else grpc.StatusCode.CANCELLED
            call.reason = ""
        seconds = time.perf_counter() - self._started
        for observer in self._observers:
            observer.ended(call, seconds)
        fields = {"code": call.code.name, "ms": round(seconds * 1000, 1), "call_id": call.id}
        if call.reason:
            fields["reason"] = call.reason
        if call.caller is not None:
            fields["caller"] = call.caller.email
            if call.caller.key_id is not None:
                fields["key_id"] = str(call.caller.key_id)
        log.info(call.method, **fields)
