"""Retries by the client: which failures of a server it repeats, under the same request id."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from google.protobuf.message import Message

from commontrace.client import CallFailed, Client, connect
from commontrace.v1 import tag_service_pb2, trace_service_pb2, vote_service_pb2
from tests.conftest import RunningServer
from tests.support.generic_server import answering

TRACE_ID = "123e4567-e89b-12d3-a456-426614174000"
LARGE = "x" * 450_000
WRITES: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "contribute": (("A title", LARGE, LARGE), {}),
    "update": ((TRACE_ID,), {"title": "Another"}),
    "delete": ((TRACE_ID,), {}),
    "undelete": ((TRACE_ID,), {}),
    "vote": ((TRACE_ID, "down"), {"reason": "spam"}),
    "retract_vote": ((TRACE_ID,), {}),
    "update_tag": (("python",), {"is_curated": True}),
    "merge_tags": (("py", "python"), {}),
}
# Whatever is asked for, this is an answer; of a search, an empty summary.
AN_ANSWER = trace_service_pb2.SearchTracesResponse(summary=trace_service_pb2.SearchSummary()).SerializeToString()
READS: dict[str, tuple[Any, ...]] = {"get": (TRACE_ID,), "search": ("x",), "my_vote": (TRACE_ID,), "tag": ("python",)}


class Unsteady(grpc.GenericRpcHandler):
    """A handler that fails each call so many times before it answers, and keeps the requests."""

    def __init__(self, failures: int = 2) -> None:
        self.failures = failures
        self.code = grpc.StatusCode.UNAVAILABLE
        self.received: list[tuple[str, bytes]] = []

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        async def answer(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            self.received.append((details.method, request))
            if len(self.received) % (self.failures + 1):
                await context.abort(self.code, "not now")
            return AN_ANSWER

        return grpc.unary_unary_rpc_method_handler(answer)

    def requests(self) -> list[Any]:
        """Returns the requests it received, parsed."""
        return [request_of(path, body) for path, body in self.received]


def request_of(path: str, body: bytes) -> Message:
    for contract in (trace_service_pb2, vote_service_pb2, tag_service_pb2):
        for service in contract.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                if path == f"/{service.full_name}/{method.name}":
                    request: Message = getattr(contract, method.input_type.name).FromString(body)
                    return request
    raise AssertionError(path)


@pytest.fixture
async def unsteady() -> Unsteady:
    return Unsteady()


@pytest.fixture
async def client(unsteady: Unsteady) -> AsyncIterator[Client]:
    async with answering(unsteady) as address, connect(address) as client:
        yield client


@pytest.mark.parametrize("method", WRITES)
async def test_a_write_is_sent_again_under_the_same_id(client: Client, unsteady: Unsteady, method: str) -> None:
    arguments, options = WRITES[method]
    await getattr(client, method)(*arguments, **options)
    await getattr(client, method)(*arguments, **options)
    given = uuid4()
    await getattr(client, method)(*arguments, **options, request_id=given)
    requests = unsteady.requests()
    assert len(requests) == 9
    ids = [UUID(request.request_id) for request in requests[::3]]
    assert [UUID(request.request_id) for request in requests] == [ids[call // 3] for call in range(9)]
    assert len(set(ids)) == 3
    assert ids[2] == given
    assert requests[0] == requests[1] == requests[2]


@pytest.mark.parametrize("method", READS)
async def test_a_read_is_sent_again(client: Client, unsteady: Unsteady, method: str) -> None:
    await getattr(client, method)(*READS[method])
    requests = unsteady.requests()
    assert len(requests) == 3
    assert requests[0] == requests[1] == requests[2]


async def test_what_a_stopping_server_did_not_read_is_sent_again(client: Client, unsteady: Unsteady) -> None:
    unsteady.code = grpc.StatusCode.CANCELLED
    await client.get(TRACE_ID)
    await client.vote(TRACE_ID, "up")
    assert len(unsteady.received) == 6


async def test_a_server_that_stays_away_fails_the_call(client: Client, unsteady: Unsteady) -> None:
    unsteady.failures = 1000
    with pytest.raises(CallFailed, match="not now") as failure:
        await client.delete(TRACE_ID)
    assert failure.value.code is grpc.StatusCode.UNAVAILABLE
    assert len(unsteady.received) == 4


async def test_what_is_sent_again_is_carried_out_once(server: RunningServer) -> None:
    texts, request_id = ("A title", "A problem", "A cure"), uuid4()
    async with connect(server.address) as client:
        first = await client.contribute(*texts, on_duplicate="allow", request_id=request_id)
        assert await client.contribute(*texts, on_duplicate="allow", request_id=request_id) == first
        other = await client.contribute(*texts, on_duplicate="allow")
        assert {hit.trace.id for hit in await client.search("a problem")} == {first.created.id, other.created.id}
