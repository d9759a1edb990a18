from typing import Any

import grpc
import pytest

from commontrace.domain import limits
from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import RunningServer
from tests.contract.callers import reason_of
from tests.contract.calls import METHODS, call
from tests.contract.errors.error_row import VALID
from tests.support.keys import Metadata

# What HTTP/2 counts for a pair beside its name and value, and what gRPC sends of its own: its name and version.
PAIR_BYTES, OWN_BYTES = 32, 200
MOST = limits.CALL_METADATA_BYTES
ATTEMPTS = 20


def one_of(size: int) -> Metadata:
    """A single pair of `size` bytes."""
    return (("x-padding", "a" * (size - PAIR_BYTES - len("x-padding"))),)


def many_of(size: int) -> Metadata:
    """Pairs of 64 bytes each."""
    return tuple((f"x-{number:04}", "a" * 26) for number in range(size // 64))


def binary(size: int) -> Any:
    return (("x-padding-bin", b"\xff" * (size - PAIR_BYTES - len("x-padding-bin"))),)


# Of the server that these tests share: they only read.
pytestmark = pytest.mark.asyncio(loop_scope="module")
SHAPES = pytest.mark.parametrize("shape", [one_of, many_of, binary])


@SHAPES
async def test_metadata_up_to_the_limit_are_taken_every_time(shared_server: RunningServer, shape: Any) -> None:
    for _ in range(ATTEMPTS):
        await shared_server.traces.GetServiceInfo(pb.GetServiceInfoRequest(), metadata=shape(MOST - OWN_BYTES))


@SHAPES
@pytest.mark.parametrize("size", [MOST + 64, 12_000, 15_500])
async def test_larger_metadata_are_refused_every_time(shared_server: RunningServer, shape: Any, size: int) -> None:
    for _ in range(ATTEMPTS):
        refused = shared_server.traces.GetServiceInfo(pb.GetServiceInfoRequest(), metadata=shape(size))
        assert await reason_of(refused) == "REQUEST_TOO_LARGE"


@SHAPES
@pytest.mark.parametrize("size", [2 * MOST + 64, 40_000])
async def test_the_transport_refuses_the_largest_every_time(
    shared_server: RunningServer, shape: Any, size: int
) -> None:
    for _ in range(ATTEMPTS):
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await shared_server.traces.GetServiceInfo(pb.GetServiceInfoRequest(), metadata=shape(size))
        assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("rpc", [*METHODS, "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"])
async def test_metadata_have_one_limit_for_every_rpc(shared_server: RunningServer, rpc: str) -> None:
    payload = VALID[rpc].SerializeToString() if rpc in VALID else b""
    error = await call(shared_server.channel, rpc, payload, one_of(MOST + 1))
    assert error is not None
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (error.details() or "").startswith("REQUEST_TOO_LARGE: the metadata have ")
