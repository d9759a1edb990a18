"""Surrounds unary and streaming calls alike."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import grpc

from commontrace.rpc.call import Context

if TYPE_CHECKING:
    Handler: TypeAlias = grpc.RpcMethodHandler[Any, Any]
else:  # generic in its stubs only
    Handler = grpc.RpcMethodHandler


class WrappingInterceptor(grpc.aio.ServerInterceptor, ABC):
    """Wraps every handler of CommonTrace's own services once; others pass untouched, unless it `is_for` them."""

    def __init__(self) -> None:
        """Starts without wrapped handlers."""
        self._wrapped: dict[str, Handler] = {}

    @abstractmethod
    def wrap(self, handler: Handler, method: str) -> Handler:
        """Returns what is called instead of `handler`."""

    def is_for(self, method: str) -> bool:
        """Tells whether a method, by its path, is wrapped."""
        return method.startswith("/commontrace.")

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wraps a method's handler the first time it is called."""
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None or not self.is_for(method):
                return handler
            wrapped = self._wrapped[method] = self.wrap(handler, method)
        return wrapped


class Interceptor(WrappingInterceptor):
    """Runs `around` around every call."""

    reads_bytes = False
    """Whether `around` gets the request as bytes and yields it parsed."""

    @abstractmethod
    def around(self, handler: Handler, method: str, request: Any, context: Context) -> AbstractAsyncContextManager[Any]:
        """Yields the request to pass on; where requests come as a stream, an iterator over them."""

    def wrap(self, handler: Handler, method: str) -> Handler:
        """Returns a handler of the same kind."""
        deserializer = None if self.reads_bytes else handler.request_deserializer
        if handler.response_streaming:
            stream_inside = streaming_behavior(handler)

            # An async generator, not a function that returns one: grpc.aio would move it to a thread.
            async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
                async with (
                    self.around(handler, method, request, context) as passed,
                    # Closed at once when the call is cancelled, not when the garbage collector comes by.
                    aclosing(stream_inside(passed, context)) as responses,
                ):
                    async for response in responses:
                        yield response

            if handler.request_streaming:
                return grpc.stream_stream_rpc_method_handler(stream, deserializer, handler.response_serializer)
            return grpc.unary_stream_rpc_method_handler(stream, deserializer, handler.response_serializer)

        answer_inside = unary_behavior(handler)

        async def unary(request: Any, context: Context) -> Any:
            async with self.around(handler, method, request, context) as passed:
                return await answer_inside(passed, context)

        return grpc.unary_unary_rpc_method_handler(unary, deserializer, handler.response_serializer)


class CheckingInterceptor(WrappingInterceptor):
    """Looks at every request before it is passed on; costs no generator of its own."""

    @abstractmethod
    def checked(self, handler: Handler, request: Any, context: Context) -> Any:
        """Returns the request to pass on; where requests come as a stream, an iterator over them. May raise."""

    def wrap(self, handler: Handler, method: str) -> Handler:  # noqa: ARG002 - alike for all
        """Returns a handler of the same kind, for an interceptor around it to await or to iterate over."""
        if handler.response_streaming:
            stream_inside = streaming_behavior(handler)

            def stream(request: Any, context: Context) -> AsyncGenerator[Any]:
                return stream_inside(self.checked(handler, request, context), context)

            return streaming_handler(handler, stream)

        answer_inside = unary_behavior(handler)

        def unary(request: Any, context: Context) -> Awaitable[Any]:
            return answer_inside(self.checked(handler, request, context), context)

        return grpc.unary_unary_rpc_method_handler(unary, handler.request_deserializer, handler.response_serializer)


def streaming_handler(
    handler: Handler, stream: Callable[[Any, Context], AsyncIterator[Any]], *, sends_bytes: bool = False
) -> Handler:
    """Returns a handler of the same kind as one with a stream of responses, which does something else."""
    of_kind: Any = (
        grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
    )
    return cast(
        "Handler", of_kind(stream, handler.request_deserializer, None if sends_bytes else handler.response_serializer)
    )


def unary_behavior(handler: Handler) -> Callable[[Any, Context], Awaitable[Any]]:
    """Returns what a handler with one response does."""
    return cast("Callable[[Any, Context], Awaitable[Any]]", handler.unary_unary)


def streaming_behavior(handler: Handler) -> Callable[[Any, Context], AsyncGenerator[Any]]:
    """Returns what a handler with a stream of responses does."""
    behavior = handler.stream_stream if handler.request_streaming else handler.unary_stream
    return cast("Callable[[Any, Context], AsyncGenerator[Any]]", behavior)
