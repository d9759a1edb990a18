"""How every call is made: for whom, for how long, and with failures translated."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import UUID, uuid4

import grpc

from commontrace import USER_METADATA
from commontrace.client.errors import CallFailed
from commontrace.v1 import tag_service_pb2_grpc, trace_pb2, trace_service_pb2_grpc, vote_service_pb2_grpc

Request = TypeVar("Request")
Response = TypeVar("Response")
Value = TypeVar("Value")


class Calls:
    """What the calls of all services share."""

    def __init__(self, channel: grpc.aio.Channel, *, user: str | None, deadline: float) -> None:
        """Takes an open channel; `connect` makes one."""
        self._traces = trace_service_pb2_grpc.TraceServiceStub(channel)
        self._votes = vote_service_pb2_grpc.VoteServiceStub(channel)
        self._tags = tag_service_pb2_grpc.TagServiceStub(channel)
        self._options: dict[str, Any] = {
            "timeout": deadline,
            "metadata": ((USER_METADATA, user),) if user is not None else (),
        }

    async def _call(self, method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]", request: Request) -> Response:
        with translated():
            return await method(request, **self._options)

    async def _pages(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[Any, Response]", request: Any
    ) -> AsyncIterator[Response]:
        """Yields all pages, each asked for when the one before has been read."""
        while True:
            page: Any = await self._call(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


@contextmanager
def translated() -> Iterator[None]:
    """Makes CallFailed of what gRPC raises."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise CallFailed.from_rpc_error(error) from error


def request_id_of(given: str | UUID | None) -> str:
    """Returns the id under which a write is carried out once: the caller's, or a new one."""
    return str(uuid4() if given is None else given)


def several(name: str, values: Iterable[Value]) -> Iterable[Value]:
    """Returns the values. Raises TypeError if they are one string, whose letters would be taken for them."""
    if isinstance(values, str):
        raise TypeError(f"{name} must be several strings; one string would be taken for one a letter")
    return values


def view_of(*, full: bool) -> trace_pb2.TraceView.ValueType:
    """Returns how much of a trace to ask for."""
    return trace_pb2.TRACE_VIEW_FULL if full else trace_pb2.TRACE_VIEW_BASIC
