import grpc
import pytest
from google.rpc import code_pb2

from commontrace.domain import limits
from commontrace.v1 import error_reason_pb2, trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import RunningServer, administer
from tests.contract.errors.error_row import UNKNOWN_ID
from tests.support.builders import a_contribution

LARGE = "\N{SNAKE}" * limits.CONTEXT_CHARACTERS


async def batch_get(server: RunningServer, *trace_ids: str, view: int = 0) -> list[pb.BatchGetTracesItem]:
    request = pb.BatchGetTracesRequest(trace_ids=trace_ids, view=view)  # type: ignore[arg-type] # any view
    response = await server.traces.BatchGetTraces(request)
    assert response.ByteSize() <= limits.RESPONSE_BYTES
    return list(response.items)


async def create(server: RunningServer, count: int) -> list[trace_pb2.Trace]:
    return [(await server.traces.CreateTrace(a_contribution(number))).created for number in range(count)]


async def test_items_come_in_the_order_of_the_request_duplicates_twice(server: RunningServer) -> None:
    a, b, c = await create(server, 3)
    items = await batch_get(server, c.id, a.id.upper(), c.id, b.id, a.id)
    assert [item.trace for item in items] == [c, a, c, b, a]
    assert [item.trace_id for item in items] == [c.id, a.id, c.id, b.id, a.id]


async def test_what_is_not_found_fails_alone_with_the_words_of_a_call_of_its_own(
    server: RunningServer, database_url: str
) -> None:
    live, deleted = await create(server, 2)
    await administer(database_url, f"UPDATE traces SET deleted_at = now() WHERE id = '{deleted.id}'")  # noqa: S608 - our own id
    items = await batch_get(server, deleted.id, live.id, UNKNOWN_ID.upper(), UNKNOWN_ID)
    assert [item.WhichOneof("outcome") for item in items] == ["error", "trace", "error", "error"]
    assert [item.trace_id for item in items] == [deleted.id, live.id, UNKNOWN_ID, UNKNOWN_ID]
    for item in (items[0], items[2], items[3]):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await server.traces.GetTrace(pb.GetTraceRequest(trace_id=item.trace_id))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert item.error.code == code_pb2.NOT_FOUND
        assert item.error.reason == error_reason_pb2.ERROR_REASON_TRACE_NOT_FOUND
        assert item.error.message == caught.value.details()


async def test_a_trace_comes_in_full_unless_the_basic_view_is_asked_for(server: RunningServer) -> None:
    [created] = await create(server, 1)
    for view in (trace_pb2.TRACE_VIEW_UNSPECIFIED, trace_pb2.TRACE_VIEW_FULL):
        [item] = await batch_get(server, created.id, view=view)
        assert item.trace == created
    created.ClearField("context")
    created.ClearField("solution")
    [item] = await batch_get(server, created.id, view=trace_pb2.TRACE_VIEW_BASIC)
    assert item.trace == created


async def test_a_hundred_ids_are_taken(server: RunningServer) -> None:
    [created] = await create(server, 1)
    items = await batch_get(server, *[created.id, UNKNOWN_ID] * 50)
    assert [item.WhichOneof("outcome") for item in items] == ["trace", "error"] * 50


async def test_once_2_mib_are_reached_every_further_item_says_so(server: RunningServer) -> None:
    [small] = await create(server, 1)
    request = a_contribution(context=LARGE, solution=LARGE, title="large")
    large = (await server.traces.CreateTrace(request)).created.id
    # Four bytes a character, 50,000 characters, twice: five fit.
    items = await batch_get(server, *[large] * 5, UNKNOWN_ID, large, small.id, UNKNOWN_ID, *[large] * 91)
    assert [item.WhichOneof("outcome") for item in items] == ["trace"] * 5 + ["error"] * 95
    assert items[5].error.reason == error_reason_pb2.ERROR_REASON_TRACE_NOT_FOUND
    assert [item.trace_id for item in items[6:9]] == [large, small.id, UNKNOWN_ID]
    for item in items[6:]:
        assert item.error.code == code_pb2.RESOURCE_EXHAUSTED
        assert item.error.reason == error_reason_pb2.ERROR_REASON_RESPONSE_TOO_LARGE
        assert item.error.message.startswith("RESPONSE_TOO_LARGE: ")
    basic = await batch_get(server, *[large] * 100, view=trace_pb2.TRACE_VIEW_BASIC)
    assert {item.WhichOneof("outcome") for item in basic} == {"trace"}
    [again] = await batch_get(server, items[6].trace_id)
    assert again.trace.context == LARGE
