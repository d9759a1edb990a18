"""The first and the last moment of the contract's times, wherever they are taken and given back."""

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_export_pb2 import ExportTracesRequest
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.conftest import RunningServer
from tests.contract.callers import ADA
from tests.contract.imports.exported_traces import export, ids_of
from tests.contract.imports.imports import a_record, a_vector, imported, trace_id_of

FIRST, SECOND = Timestamp(seconds=-62_135_596_800), Timestamp(seconds=-62_135_596_800, nanos=1000)
LAST = Timestamp(seconds=253_402_300_799, nanos=999_999_999)
OLD = Timestamp(seconds=-1, nanos=999_999_000)


async def store(server: RunningServer) -> list[str]:
    """Traces of the earliest times there are, oldest first."""
    records = [a_record(n, create_time=time) for n, time in enumerate((FIRST, FIRST, SECOND, OLD))]
    records[0].embedding.CopyFrom(a_vector(1))
    first, same, *later = [trace_id_of(result) for result in await imported(server.traces, *records)]
    return [*sorted((first, same)), *later]


async def listed(server: RunningServer, page_size: int, **fields: Any) -> list[str]:
    found: list[str] = []
    request = pb.ListTracesRequest(page_size=page_size, **fields)
    while True:
        page = await server.traces.ListTraces(request, metadata=ADA)
        found += [trace.id for trace in page.traces]
        request.page_token = page.next_page_token
        if not request.page_token:
            return found


async def test_the_first_moment_is_told_as_it_was_given(server: RunningServer) -> None:
    trace_id = (await store(server))[0]
    trace = (await server.traces.GetTrace(pb.GetTraceRequest(trace_id=trace_id))).trace
    assert trace.create_time == FIRST
    history = await server.traces.ListTraceRevisions(pb.ListTraceRevisionsRequest(trace_id=trace_id))
    assert history.revisions[0].create_time == FIRST


@pytest.mark.parametrize("size", [1, 2, 3])
async def test_pages_end_at_the_first_moment(server: RunningServer, size: int) -> None:
    stored = await store(server)
    assert await listed(server, size) == stored[::-1]
    assert await listed(server, size, show_deleted=True) == stored[::-1]
    responses = await export(server.traces, batch_size=size)
    assert ids_of(responses) == stored
    continued = [
        message async for message in server.traces.ExportTraces(ExportTracesRequest(cursor=responses[0].cursor))
    ]
    assert ids_of(continued) == stored[size:]


@pytest.mark.parametrize(
    ("bounds", "passing"),
    [
        ({"create_time_from": FIRST}, slice(None)),
        ({"create_time_from": SECOND}, slice(2, None)),
        ({"create_time_from": Timestamp(seconds=FIRST.seconds, nanos=1)}, slice(2, None)),
        ({"create_time_from": LAST}, slice(0)),
        ({"create_time_before": FIRST}, slice(0)),
        ({"create_time_before": SECOND}, slice(2)),
        ({"create_time_before": LAST}, slice(None)),
        ({"create_time_from": FIRST, "create_time_before": LAST}, slice(None)),
    ],
)
async def test_filters_by_the_ends_of_time(server: RunningServer, bounds: dict[str, Any], passing: slice) -> None:
    stored = await store(server)
    asked = TraceFilter(**bounds)
    assert await listed(server, 1, filter=asked) == stored[passing][::-1]
    assert ids_of(await export(server.traces, filter=asked, batch_size=1)) == stored[passing]
    search = server.traces.SearchTraces(pb.SearchTracesRequest(embedding=a_vector(1), filter=asked))
    hits = [hit.trace.create_time async for response in search for hit in response.hits]
    assert set(stored[passing]).issuperset(stored[:1]) or FIRST not in hits
