"""Exports as tests read them."""

from typing import Any

from commontrace.v1 import trace_record_pb2
from commontrace.v1.trace_export_pb2 import ExportTracesRequest, ExportTracesResponse
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.support.builders import WITHOUT_WORDS

ENLARGE = f"{WITHOUT_WORDS}; UPDATE traces SET context_text = repeat('x', 50000), solution_text = repeat('y', 50000)"  # noqa: S608 - our own names
"""Makes traces of 100 kB, of which a message holds 20 at most."""


async def export(traces: TraceServiceStub, **fields: Any) -> list[ExportTracesResponse]:
    """Every message of an export."""
    return [response async for response in traces.ExportTraces(ExportTracesRequest(**fields), timeout=20)]


def records_of(responses: list[ExportTracesResponse]) -> list[trace_record_pb2.TraceRecord]:
    """The traces of a whole export, each message of which must say where it ends."""
    assert all(response.traces and response.cursor for response in responses)
    return [record for response in responses for record in response.traces]


def ids_of(responses: list[ExportTracesResponse]) -> list[str]:
    return [record.id for record in records_of(responses)]
