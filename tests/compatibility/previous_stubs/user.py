"""A user's stubs, which note what is called through them."""

from collections.abc import Callable
from typing import Any, cast

import grpc

from commontrace.v1.tag_service_pb2_grpc import TagServiceStub
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from commontrace.v1.vote_service_pb2_grpc import VoteServiceStub

_SECONDS = 30.0


class User:
    """Somebody with an e-mail address and the stubs of every service; the paths of their calls end up in `called`."""

    def __init__(self, email: str, channel: grpc.aio.Channel, called: set[str]) -> None:
        self.email = email
        noting = cast("grpc.aio.Channel", _NotingChannel(channel, email, called))
        self.traces, self.votes, self.tags = TraceServiceStub(noting), VoteServiceStub(noting), TagServiceStub(noting)


class _NotingChannel:
    """Channel wrapper: adds a deadline and the user's name to every call, and notes its path."""

    def __init__(self, channel: grpc.aio.Channel, email: str, called: set[str]) -> None:
        self._channel, self._called = channel, called
        self._options = {"timeout": _SECONDS, "metadata": (("x-commontrace-user", email),)}

    def __getattr__(self, kind: str) -> Callable[..., Any]:
        make = getattr(self._channel, kind)  # unary_unary and its three siblings

        def stub_method(path: str, *arguments: Any, **options: Any) -> Callable[[Any], Any]:
            method = make(path, *arguments, **options)

            def call(request: Any) -> Any:
                self._called.add(path)
                return method(request, **self._options)

            return call

        return stub_method


async def failure(call: Any) -> grpc.StatusCode:
    """The status of a unary call that has to fail."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    raise AssertionError(f"did not fail: {answer}")
