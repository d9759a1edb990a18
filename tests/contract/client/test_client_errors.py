"""Errors of the client: mapping of status codes, invalid arguments, deadlines."""

import builtins
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from commontrace import client as asynchronous
from commontrace.client import (
    Aborted,
    AlreadyExists,
    CallFailed,
    Client,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    connect,
    sync,
    vector,
)
from tests.conftest import RunningServer
from tests.support.generic_server import answering

ABSENT = "123e4567-e89b-12d3-a456-426614174000"
KINDS = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.ABORTED: Aborted,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.INTERNAL: CallFailed,
    grpc.StatusCode.UNIMPLEMENTED: CallFailed,
}


class Failing(grpc.GenericRpcHandler):
    """Ends every call with the same status."""

    def __init__(self) -> None:
        self.status: grpc.Status | None = None
        self.code = grpc.StatusCode.UNKNOWN
        self.trailers: tuple[tuple[str, bytes], ...] = ()
        self.calls = 0

    def service(self, _details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        async def answer(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            self.calls += 1
            if self.status is not None:
                await context.abort_with_status(self.status)
            context.set_trailing_metadata(self.trailers)
            await context.abort(self.code, "as asked for")
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
def failing() -> Failing:
    return Failing()


@pytest.fixture
async def client(failing: Failing) -> AsyncIterator[Client]:
    async with answering(failing) as address, connect(address) as client:
        yield client


@pytest.mark.parametrize("code", KINDS, ids=lambda code: code.name)
async def test_each_code_has_its_class(client: Client, failing: Failing, code: grpc.StatusCode) -> None:
    failing.code = code
    with pytest.raises(CallFailed) as failure:
        await client.get(ABSENT)
    assert type(failure.value) is KINDS[code]
    assert (failure.value.code, failure.value.reason, failure.value.retry_after) == (code, "", None)


def test_every_kind_is_exported_and_shadows_nothing() -> None:
    kinds = {*KINDS.values()}
    for module in (asynchronous, sync):
        exported = {vars(module)[name] for name in module.__all__}
        assert kinds <= exported
        assert not set(module.__all__) & set(dir(builtins))
    assert set(asynchronous.__all__) == set(sync.__all__)


async def test_details_are_read(client: Client, failing: Failing) -> None:
    delay = Duration()
    delay.FromMilliseconds(1500)
    violation = error_details_pb2.BadRequest.FieldViolation(field="title", description="is bad")
    details: list[Any] = [
        error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="commontrace", metadata={"limit": "3"}),
        error_details_pb2.BadRequest(field_violations=[violation]),
        error_details_pb2.RetryInfo(retry_delay=delay),
        error_details_pb2.Help(),
    ]
    packed = [AnyMessage() for _ in details]
    for message, detail in zip(packed, details, strict=True):
        message.Pack(detail)
    failing.status = rpc_status.to_status(status_pb2.Status(code=8, message="OVERLOADED: busy", details=packed))
    with pytest.raises(ResourceExhausted, match=r"^OVERLOADED: busy$") as failure:
        await client.get(ABSENT)
    failed = failure.value
    assert (failed.reason, failed.metadata, failed.retry_after) == ("OVERLOADED", {"limit": "3"}, 1.5)
    assert failed.violations == {"title": "is bad"}


async def test_a_search_that_the_server_cannot_begin_fails(client: Client, failing: Failing) -> None:
    packed = AnyMessage()
    packed.Pack(error_details_pb2.ErrorInfo(reason="DATABASE_UNAVAILABLE", domain="commontrace"))
    failing.status = rpc_status.to_status(status_pb2.Status(code=14, message="DATABASE_UNAVAILABLE", details=[packed]))
    for call in (client.get(ABSENT), client.search("x")):
        with pytest.raises(Unavailable, match=r"^DATABASE_UNAVAILABLE$"):
            await call
    assert failing.calls == 2 * 4


@pytest.mark.parametrize("garbage", [b"\xff\xff", status_pb2.Status(code=5).SerializeToString()])
async def test_details_that_do_not_fit_are_left_out(client: Client, failing: Failing, garbage: bytes) -> None:
    failing.code, failing.trailers = grpc.StatusCode.ABORTED, (("grpc-status-details-bin", garbage),)
    with pytest.raises(Aborted, match="as asked for"):
        await client.get(ABSENT)


async def test_what_the_server_refuses(server: RunningServer) -> None:
    async with connect(server.address, user="ada@example.org") as ada, connect(server.address, user="bob") as nobody:
        trace = (await ada.contribute("A title", "A problem", "A cure")).created
        with pytest.raises(NotFound):
            await ada.get(ABSENT)
        with pytest.raises(InvalidArgument):
            await ada.search("")
        with pytest.raises(InvalidArgument):
            await ada.search("x", limit=-1)
        with pytest.raises(AlreadyExists):
            await ada.contribute("A title", "A problem", "A cure", on_duplicate="reject")
        with pytest.raises(FailedPrecondition):
            await ada.vote(trace.id, "up")
        with pytest.raises(Aborted):
            await ada.update(trace.id, title="Another", etag="stale")
        with pytest.raises(ResourceExhausted):
            await ada.contribute("A title", "x" * 1_200_000, "A cure")
        with pytest.raises(Unauthenticated):
            await nobody.service_info()
    async with connect(server.address, user="bob@example.org") as bob:
        with pytest.raises(PermissionDenied):
            await bob.delete(trace.id)


async def test_a_closed_client_says_so(server: RunningServer) -> None:
    async with connect(server.address, user="ada@example.org") as client:
        await client.contribute("A title", "A problem", "A cure")
        await client.contribute("Another", "A problem", "A cure")
        stream = client.search_stream("a problem", batch_size=1)
        await anext(stream)
    with pytest.raises(RuntimeError, match="client is closed"):
        await client.service_info()
    with pytest.raises(RuntimeError, match="client is closed"):
        await anext(client.tags())
    with pytest.raises(RuntimeError, match="client was closed during the call"):
        await anext(stream)
    with sync.connect(server.address) as blocking:
        pass
    with pytest.raises(ValueError, match="closed channel"):
        blocking.service_info()


async def test_some_calls_have_another_deadline(server: RunningServer) -> None:
    async with connect(server.address, user="ada@example.org") as client:
        hurried = client.within(0.000_001)
        for call in (hurried.service_info, lambda: hurried.search("x"), lambda: anext(hurried.tags())):
            with pytest.raises(DeadlineExceeded, match=rf"no answer from {server.address} within 1e-06 s"):
                await call()
        assert (await client.service_info()).caller.email == "ada@example.org"
        assert (await hurried.within(20).service_info()).caller.email == "ada@example.org"


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("", "HOST:PORT"),
        ("localhost", "HOST:PORT, such as 127.0.0.1:50051 or .*: the port is .*, not 'localhost'"),
        ("127.0.0.1:0", "HOST:PORT"),
        ("127.0.0.1:99999", "HOST:PORT"),
        ("127.0.0.1:http", "HOST:PORT"),
        ("127.0.0.1: 50051", "HOST:PORT"),
        ("127.0.0.1\n:50051", "HOST:PORT"),
        (":50051", "HOST:PORT"),
        ("http://127.0.0.1:50051", "without http://"),
    ],
)
async def test_what_is_no_address_is_refused(address: str, problem: str) -> None:
    await assert_refused(problem, address)


@pytest.mark.parametrize("user", ["", "ädä@example.org", "ada\n@example.org", "ada@example.org\0"])
async def test_what_is_no_user_is_refused(user: str) -> None:
    await assert_refused("user must be one plain e-mail address", user=user)


@pytest.mark.parametrize("deadline", [0, -1, float("nan"), float("inf"), 86_401])
async def test_what_is_no_deadline_is_refused(server: RunningServer, deadline: float) -> None:
    await assert_refused("a deadline must be more than 0 and at most 86,400 seconds", deadline=deadline)
    async with connect(server.address) as client:
        with pytest.raises(ValueError, match="a deadline must be"):
            client.within(deadline)


async def assert_refused(problem: str, *arguments: Any, **options: Any) -> None:
    with pytest.raises(ValueError, match=problem):
        async with connect(*arguments, **options):
            pass
    with pytest.raises(ValueError, match=problem), sync.connect(*arguments, **options):
        pass


@pytest.mark.parametrize("address", ["[::1]:1", "dns:///127.0.0.1:1", "unix:/nonexistent/socket", "ipv4:127.0.0.1:1"])
async def test_every_kind_of_address_is_tried(address: str) -> None:
    async with connect(address) as client:
        with pytest.raises(Unavailable):
            await client.service_info()


def test_a_vector_has_one_dimension() -> None:
    assert len(vector([1, 2, 3], model_id="m").packed_f32) == 12
    assert vector(np.array([1.0, 2.0])[::-1], model_id="m") == vector([2, 1], model_id="m")
    for shape in [(), (1, 3)]:
        with pytest.raises(ValueError, match="shape"):
            vector(np.zeros(shape), model_id="m")
