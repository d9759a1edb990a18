import asyncio
from collections.abc import Sequence

import grpc
import pytest
from structlog.testing import capture_logs

from commontrace.v1 import trace_service_pb2 as pb
from tests.builders import a_contribution, search
from tests.conftest import RunningServer

PRIVATE = "xyzzy-that-nobody-should-read"
ADA = (("x-commontrace-user", "Ada@example.org"),)


async def test_one_line_a_call_and_never_a_text(server: RunningServer) -> None:
    with capture_logs() as lines:
        request = a_contribution(title=PRIVATE, context=PRIVATE, solution=PRIVATE, tags=[PRIVATE], agent_model=PRIVATE)
        request.metadata.update({PRIVATE: PRIVATE})
        await server.traces.CreateTrace(request, metadata=ADA)
        await search(server.traces, text=PRIVATE)
        with pytest.raises(grpc.aio.AioRpcError):
            await server.traces.CreateTrace(a_contribution(title=f"{PRIVATE}\0"))
        await until_logged(lines, 3)
        with pytest.raises(grpc.aio.AioRpcError):
            await server.traces.GetServiceInfo(pb.GetServiceInfoRequest(), metadata=(("x-commontrace-user", PRIVATE),))
        await until_logged(lines, 4)
    logged = [(line["event"], line["code"], line.get("reason"), line.get("caller")) for line in lines]
    assert logged == [
        ("TraceService/CreateTrace", "OK", None, "ada@example.org"),
        ("TraceService/SearchTraces", "OK", None, "local@commontrace.dev"),
        ("TraceService/CreateTrace", "INVALID_ARGUMENT", "FORBIDDEN_CHARACTER", "local@commontrace.dev"),
        ("TraceService/GetServiceInfo", "UNAUTHENTICATED", "INVALID_USER", None),
    ]
    assert PRIVATE not in str(lines)
    assert len({line["call_id"] for line in lines}) == len(lines)


async def test_a_call_that_its_caller_leaves_is_logged_as_cancelled(server: RunningServer) -> None:
    with capture_logs() as lines:
        call = server.traces.CreateTrace(a_contribution(context="word " * 5000))
        await asyncio.sleep(0.03)
        call.cancel()
        await until_logged(lines, 1)
    assert [line["code"] for line in lines] == ["CANCELLED"]


async def until_logged(lines: Sequence[object], count: int) -> None:
    """A caller may hear of a failure before the log does."""
    async with asyncio.timeout(5):
        while len(lines) < count:  # noqa: ASYNC110 - the server's event is not ours
            await asyncio.sleep(0.01)
