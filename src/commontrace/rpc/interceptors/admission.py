"""No more is begun than can be answered before callers give up. Refusing does no work, least of all on the database."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any, TypeAlias

import grpc

from commontrace.core.errors import Overloaded
from commontrace.core.scopes import Scope
from commontrace.rpc.call import Context, current_call
from commontrace.rpc.interceptors.interceptor import (
    Handler,
    WrappingInterceptor,
    streaming_behavior,
    streaming_handler,
    unary_behavior,
)

Stream: TypeAlias = Callable[[Any, Context], AsyncIterator[Any]]

# Of the places for calls, the rest is kept from reads: writes still get in where searches are refused.
_SHARE_OF_READS = 0.75
# Streams end when their readers do, not within milliseconds as calls.
_STREAM_RETRY_SECONDS = 5.0


class AdmissionInterceptor(WrappingInterceptor):
    """Counts the calls in progress and refuses more: reads first, then writes. Health is not counted.

    Streams that last (`lasting`, by path) have places of their own, each RPC as many: those that wait for news must not
    keep searches away.
    """

    def __init__(
        self,
        scopes: Mapping[str, Scope],
        lasting: Collection[str],
        *,
        most_calls: int,
        most_streams: int,
    ) -> None:
        """Takes the scope of every RPC by its path, and how many places there are."""
        super().__init__()
        # By kind: a lasting RPC's path, "read" or "write".
        self._kinds = {path: "read" if scope == Scope.TRACES_READ else "write" for path, scope in scopes.items()}
        self._kinds.update({path: path for path in lasting})
        most_reads = max(1, int(_SHARE_OF_READS * most_calls))
        self._most = {"read": most_reads, "write": most_calls} | dict.fromkeys(lasting, most_streams)
        self._begun: Counter[str] = Counter()

    def wrap(self, handler: Handler, method: str) -> Handler:
        """Returns a handler of the same kind, which raises Overloaded."""
        kind = self._kinds[method]
        if handler.response_streaming:
            stream = self._lasting(handler, kind) if kind == method else self._searching(handler, kind)
            return streaming_handler(handler, stream)

        answer_inside = unary_behavior(handler)

        async def unary(request: Any, context: Context) -> Any:
            await self._admit(kind, context)
            with self._place(kind):
                return await answer_inside(request, context)

        return grpc.unary_unary_rpc_method_handler(unary, handler.request_deserializer, handler.response_serializer)

    def _lasting(self, handler: Handler, kind: str) -> Stream:
        stream_inside = streaming_behavior(handler)

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            await self._admit(kind, context)
            with self._place(kind):
                async with aclosing(stream_inside(request, context)) as responses:
                    async for response in responses:
                        yield response

        return stream

    def _searching(self, handler: Handler, kind: str) -> Stream:
        stream_inside = streaming_behavior(handler)

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            await self._admit(kind, context)
            async with aclosing(stream_inside(request, context)) as responses:
                while True:
                    # Only while it works: readers who are slow must not keep others away.
                    with self._place(kind):
                        response = await anext(responses, None)
                    if response is None:
                        return
                    yield response

        return stream

    @contextmanager
    def _place(self, kind: str) -> Iterator[None]:
        self._begun[kind] += 1
        try:
            yield
        finally:
            self._begun[kind] -= 1

    async def _admit(self, kind: str, context: Context) -> None:
        # gRPC begins late what came with many others. Whoever waited for it has been told the same by then.
        if context.time_remaining() == 0:
            current_call.get().code = grpc.StatusCode.DEADLINE_EXCEEDED
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the call was begun")
        if kind in ("read", "write"):
            count = self._begun["read"] + self._begun["write"]
            if count >= self._most[kind]:
                raise Overloaded(f"{count} calls are in progress, and a further {kind} would not be answered in time")
        elif self._begun[kind] >= self._most[kind]:
            raise Overloaded(
                f"{self._begun[kind]} such streams are open, as many as this server serves",
                retry_after=_STREAM_RETRY_SECONDS,
            )
