"""Deferred receive: a call begins by its metadata alone, its messages stay with the transport until read (ADR 0029)."""

import asyncio
from typing import Any, Self, cast

import grpc

from commontrace.rpc.call import Context
from commontrace.rpc.interceptors.base import Handler, WrappingInterceptor, streaming_behavior, unary_behavior


class _Requests:
    """The requests of a call as bytes, each received when it is read.

    grpc.aio's own iterator and its generator refer to each other: they would keep the call and its messages until the
    next full garbage collection.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        message = await self._context.read()
        if message is grpc.aio.EOF:
            # Also the end where a message is too large for the transport, which cancels the call next: let it.
            await asyncio.sleep(0)
            raise StopAsyncIteration
        return cast("bytes", message)


class DeferredReceiveInterceptor(WrappingInterceptor):
    """Gives every call of every service its requests as an iterator over bytes. Stands outermost.

    Flow control holds a sender back until the first message is read, which is after authentication and admission: what
    an anonymous caller sends takes no memory. On the wire, one message is a stream of one. By default, grpc.aio
    receives the message first, and never answers a call that ends without one.
    """

    def is_for(self, method: str) -> bool:  # noqa: ARG002 - alike for all
        """Returns True: every method is wrapped."""
        return True

    def wrap(self, handler: Handler, method: str) -> Handler:  # noqa: ARG002 - alike for all
        """Returns a handler of a stream of requests, each as bytes."""
        if handler.response_streaming:
            inner_stream = streaming_behavior(handler)

            async def stream(_: object, context: Context) -> None:
                try:
                    await inner_stream(_Requests(context), context, context.write)
                except grpc.aio.InternalError as error:
                    raise _cancelled_by_caller() from error
                except BaseException as error:
                    _release_frames_of(error)
                    raise

            return grpc.stream_stream_rpc_method_handler(stream, None, handler.response_serializer)

        inner = unary_behavior(handler)

        async def unary(_: object, context: Context) -> Any:
            try:
                return await inner(_Requests(context), context)
            except grpc.aio.InternalError as error:
                raise _cancelled_by_caller() from error
            except BaseException as error:
                _release_frames_of(error)
                raise

        return grpc.stream_unary_rpc_method_handler(unary, None, handler.response_serializer)


def _cancelled_by_caller() -> asyncio.CancelledError:
    """Returns the exception that ends a call whose caller has left.

    Reading from such a call and aborting it raise an InternalError, for which gRPC would log a traceback.
    """
    cancelled = asyncio.CancelledError()
    _release_frames_of(cancelled)
    return cancelled


def _release_frames_of(error: BaseException) -> None:
    """Releases what the frames of the error hold when the call is over, not at the next full garbage collection.

    grpc.aio keeps the exception of an aborted call in the call, and the frames of the exception keep the call.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - grpc.aio begins each call in one

    def release(_: object) -> None:
        error.__traceback__ = error.__context__ = error.__cause__ = None

    task.add_done_callback(release)
