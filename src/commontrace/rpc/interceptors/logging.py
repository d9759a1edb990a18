"""Access log: one line for each call, with its final code; never a text or a query (ADR 0033)."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
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

    @asynccontextmanager
    async def around(self, handler: Handler, method: str, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ARG002
        """Yields the request unchanged, and logs the final code: every other interceptor of ours is inside."""
        metadata = context.invocation_metadata() or ()
        call = Call(method=method.removeprefix("/commontrace.v1."), id=call_id(metadata))
        current_call.set(call)
        # Trailing: initial metadata would be a frame of their own, a third of the cost of the cheapest call.
        context.set_trailing_metadata(((REQUEST_ID_METADATA, call.id),))
        for observer in self._observers:
            observer.begun(call, metadata)
        started = time.perf_counter()
        try:
            with self._calls:
                yield request
        except (asyncio.CancelledError, GeneratorExit, grpc.aio.InternalError):
            # The caller has left, or gRPC has ended the call at its deadline.
            is_late = context.time_remaining() == 0
            call.code = grpc.StatusCode.DEADLINE_EXCEEDED if is_late else grpc.StatusCode.CANCELLED
            call.reason = ""
            raise
        finally:
            seconds = time.perf_counter() - started
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
