"""Cost of a call, as estimated from its request."""

import pytest
from google.protobuf.message import Message

from commontrace.rpc.call_cost import MAX_COST, cost_of, traces_asked_for
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_export_pb2 import ExportTracesRequest
from tests.contract.errors.error_row import VALID


@pytest.mark.parametrize(
    ("request_", "traces", "cost"),
    [
        (pb.GetTraceRequest(), 1, 1),
        (pb.SearchTracesRequest(), 10, 10),
        (pb.SearchTracesRequest(limit=3, batch_size=1000), 3, 3),
        (pb.SearchTracesRequest(text="x" * 8_000, limit=3), 3, 6),
        (pb.SearchTracesRequest(limit=1000), 1000, MAX_COST),
        (pb.ListTracesRequest(), 50, MAX_COST),
        (pb.BatchGetTracesRequest(trace_ids=["x"] * 7), 7, 7),
        (ExportTracesRequest(), 100, MAX_COST),
        (pb.CreateTraceRequest(context="x" * 20_480), 1, 11),
        (pb.CreateTraceRequest(context="x" * 1_000_000), 1, MAX_COST),
    ],
)
def test_the_cost_grows_with_what_is_asked_for(request_: Message, traces: int, cost: int) -> None:
    assert traces_asked_for(request_) == traces
    assert cost_of(request_) == cost


@pytest.mark.parametrize("rpc", VALID)
def test_every_request_has_a_cost(rpc: str) -> None:
    assert 1 <= cost_of(VALID[rpc]) <= MAX_COST
