"""One line a call, with its final code; never a text or a query."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import structlog

from commontrace.rpc.call import Call, Context, current_call
from commontrace.rpc.calls_in_progress import CallsInProgress
from commontrace.rpc.interceptors.interceptor import Handler, Interceptor

log = structlog.get_logger()


class LoggingInterceptor(Interceptor):
    """Opens the call's record, counts it while it lasts and logs it when it is over, however it ends."""

    def __init__(self, calls: CallsInProgress) -> None:
        """Takes where calls are counted."""
        super().__init__()
        self._calls = calls

    @asynccontextmanager
    async def around(self, handler: Handler, method: str, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ARG002
        """Surrounds everything else, so it sees the final code."""
        call = Call(method=method.removeprefix("/commontrace.v1."))
        current_call.set(call)
        started = time.perf_counter()
        try:
            with self._calls:
                yield request
        except (asyncio.CancelledError, GeneratorExit):
            call.code = grpc.StatusCode.CANCELLED
            raise
        finally:
            fields = {
                "code": call.code.name,
                "ms": round((time.perf_counter() - started) * 1000, 1),
                "call_id": call.id,
            }
            if call.reason:
                fields["reason"] = call.reason
            if call.caller is not None:
                fields["caller"] = call.caller.email
            log.info(call.method, **fields)
