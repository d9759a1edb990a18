"""Begins every call by its metadata alone: its messages stay with the transport until somebody reads them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Self, cast

import grpc

from commontrace.rpc.call import Context
from commontrace.rpc.interceptors.base import Handler, WrappingInterceptor, streaming_behavior, unary_behavior


class _Requests:
    """The requests of a call as bytes, each received when it is asked for.

    grpc.aio's own iterator and its generator keep each other, and the call with its messages, until a full collection.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        message = await self._context.read()
        if message is grpc.aio.EOF:
            # So it ends, too, where a message is too large for the transport, which cancels the call next.
            await asyncio.sleep(0)
            raise StopAsyncIteration
        return cast("bytes", message)


class DeferringInterceptor(WrappingInterceptor):
    """Hands every call its requests as an iterator over bytes, for every service. The outermost of all.

    Flow control holds a sender back until the first one is read, which is after the call is authenticated and admitted:
    what a stranger sends takes no memory. On the wire, one message is a stream of one. Left to itself, grpc.aio would
    receive it first, and never answer a call that ends without one.
    """

    def is_for(self, method: str) -> bool:  # noqa: ARG002 - alike for all
        """Tells that every method is wrapped."""
        return True

    def wrap(self, handler: Handler, method: str) -> Handler:  # noqa: ARG002 - alike for all
        """Returns a handler of a stream of requests, each as bytes."""
        if handler.response_streaming:
            stream_inside = streaming_behavior(handler)

            async def stream(_: object, context: Context) -> AsyncIterator[Any]:
                try:
                    async with aclosing(stream_inside(_Requests(context), context)) as responses:
                        async for response in responses:
                            yield response
                except grpc.aio.InternalError as error:
                    raise _left() from error
                except BaseException as error:
                    _forget_frames_of(error)
                    raise

            return grpc.stream_stream_rpc_method_handler(stream, None, handler.response_serializer)

        answer_inside = unary_behavior(handler)

        async def unary(_: object, context: Context) -> Any:
            try:
                return await answer_inside(_Requests(context), context)
            except grpc.aio.InternalError as error:
                raise _left() from error
            except BaseException as error:
                _forget_frames_of(error)
                raise

        return grpc.stream_unary_rpc_method_handler(unary, None, handler.response_serializer)


def _left() -> asyncio.CancelledError:
    """Returns what ends a call whose caller has left.

    Whatever is done with such a call, as reading and aborting, fails inside gRPC, which would log a traceback for it.
    """
    left = asyncio.CancelledError()
    _forget_frames_of(left)
    return left


def _forget_frames_of(error: BaseException) -> None:
    """Lets go of what the call held as soon as it is over, instead of at the next full collection.

    grpc.aio keeps the exception of a call that is aborted with the call, and the exception's frames keep the call.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - grpc.aio begins each call in one

    def forget(_: object) -> None:
        error.__traceback__ = error.__context__ = error.__cause__ = None

    task.add_done_callback(forget)
