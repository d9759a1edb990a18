"""Base classes of interceptors, for unary and streaming calls alike.

Between interceptors, a stream of responses is a coroutine function that takes `send`: on the way out, each interceptor
may wrap that. Ten asynchronous generators around each other, which gRPC expects, cost a search a tenth of its time in
the server.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import grpc

from commontrace.rpc.call import Context

if TYPE_CHECKING:
    Handler: TypeAlias = grpc.RpcMethodHandler[Any, Any]
else:  # generic in its type stubs alone
    Handler = grpc.RpcMethodHandler

Send: TypeAlias = Callable[[Any], Awaitable[None]]
"""Sends one response, and returns when the transport has taken it."""

Stream: TypeAlias = Callable[[Any, Context, Send], Awaitable[None]]
"""Sends the responses to a request."""


class WrappingInterceptor(grpc.aio.ServerInterceptor, ABC):
    """Wraps each handler that it `is_for` once, by default those of CommonTrace's own services."""

    def __init__(self) -> None:
        self._wrapped: dict[str, Handler] = {}

    @abstractmethod
    def wrap(self, handler: Handler, method: str) -> Handler:
        """Returns the handler to call instead of `handler`."""

    def is_for(self, method: str) -> bool:
        """Tells whether the method with this path is wrapped."""
        return method.startswith("/commontrace.")

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Returns the wrapped handler of a method; wraps it at the first call. None for an unknown method."""
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None or not self.is_for(method):
                return handler
            wrapped = self._wrapped[method] = self.wrap(handler, method)
        return wrapped


class AroundInterceptor(WrappingInterceptor):
    """Surrounds every call with an asynchronous context manager, `around`."""

    reads_bytes = False
    """True if `around` takes the request as bytes and yields it parsed."""

    @abstractmethod
    def around(self, handler: Handler, method: str, request: Any, context: Context) -> AbstractAsyncContextManager[Any]:
        """Yields the request to pass on; for a stream of requests, an iterator over them."""

    def wrap(self, handler: Handler, method: str) -> Handler:
        """Returns a handler of the same kind that runs inside `around`."""
        deserializer = None if self.reads_bytes else handler.request_deserializer
        if handler.response_streaming:
            inner_stream = streaming_behavior(handler)

            async def stream(request: Any, context: Context, send: Send) -> None:
                async with self.around(handler, method, request, context) as passed:
                    await inner_stream(passed, context, send)

            return streaming_handler(handler, stream, deserializer=deserializer)

        inner = unary_behavior(handler)

        async def unary(request: Any, context: Context) -> Any:
            async with self.around(handler, method, request, context) as passed:
                return await inner(passed, context)

        return grpc.unary_unary_rpc_method_handler(unary, deserializer, handler.response_serializer)


class CheckingInterceptor(WrappingInterceptor):
    """Checks every request before it is passed on, at the cost of a function call instead of a context manager."""

    @abstractmethod
    def checked(self, handler: Handler, request: Any, context: Context) -> Any:
        """Returns the request to pass on; for a stream of requests, an iterator over them. May raise."""

    def wrap(self, handler: Handler, method: str) -> Handler:  # noqa: ARG002 - alike for all
        """Returns a handler of the same kind, for an interceptor around it to await."""
        if handler.response_streaming:
            inner_stream = streaming_behavior(handler)

            def stream(request: Any, context: Context, send: Send) -> Awaitable[None]:
                return inner_stream(self.checked(handler, request, context), context, send)

            return streaming_handler(handler, stream)

        inner = unary_behavior(handler)

        def unary(request: Any, context: Context) -> Awaitable[Any]:
            return inner(self.checked(handler, request, context), context)

        return grpc.unary_unary_rpc_method_handler(unary, handler.request_deserializer, handler.response_serializer)


class PreparingInterceptor(WrappingInterceptor):
    """Awaits what is to be passed on instead of every request."""

    reads_bytes = False
    """True if `prepared` takes the request as bytes and returns it parsed."""

    @abstractmethod
    async def prepared(self, handler: Handler, method: str, request: Any) -> Any:
        """Returns the request to pass on; for a stream of requests, an iterator over them. May raise."""

    def wrap(self, handler: Handler, method: str) -> Handler:
        """Returns a handler of the same kind that is called with what `prepared` returns."""
        deserializer = None if self.reads_bytes else handler.request_deserializer
        if handler.response_streaming:
            inner_stream = streaming_behavior(handler)

            async def stream(request: Any, context: Context, send: Send) -> None:
                await inner_stream(await self.prepared(handler, method, request), context, send)

            return streaming_handler(handler, stream, deserializer=deserializer)

        inner = unary_behavior(handler)

        async def unary(request: Any, context: Context) -> Any:
            return await inner(await self.prepared(handler, method, request), context)

        return grpc.unary_unary_rpc_method_handler(unary, deserializer, handler.response_serializer)


_AS_BEFORE: Any = object()


def streaming_handler(
    handler: Handler, stream: Stream, *, sends_bytes: bool = False, deserializer: Any = _AS_BEFORE
) -> Handler:
    """Returns a handler of the same kind as `handler`, one with a stream of responses, that calls `stream`.

    For interceptors alone: gRPC passes no `send`.
    """
    of_kind: Any = (
        grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
    )
    return cast(
        "Handler",
        of_kind(
            stream,
            handler.request_deserializer if deserializer is _AS_BEFORE else deserializer,
            None if sends_bytes else handler.response_serializer,
        ),
    )


def unary_behavior(handler: Handler) -> Callable[[Any, Context], Awaitable[Any]]:
    """Returns the function of a handler with one response."""
    return cast("Callable[[Any, Context], Awaitable[Any]]", handler.unary_unary)


def streaming_behavior(handler: Handler) -> Stream:
    """Returns the function of a handler with a stream of responses: an interceptor's, or a service's in that form."""
    behavior: Any = handler.stream_stream if handler.request_streaming else handler.unary_stream
    return _sending(behavior) if inspect.isasyncgenfunction(behavior) else cast("Stream", behavior)


def _sending(generate: Callable[[Any, Context], AsyncGenerator[Any]]) -> Stream:
    async def stream(request: Any, context: Context, send: Send) -> None:
        # Closed at once when the call is cancelled, not by the garbage collector.
        async with aclosing(generate(request, context)) as responses:
            async for response in responses:
                await send(response)

    return stream
