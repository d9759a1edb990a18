"""Exported traces cut into messages that every client can receive."""

from collections.abc import AsyncGenerator, Iterator, Sequence

from commontrace.core import limits
from commontrace.core.exporting import Export
from commontrace.rpc.messages.exports import record_message
from commontrace.rpc.page_tokens import OLDEST_FIRST
from commontrace.rpc.response_budget import ResponseBudget
from commontrace.rpc.stopping import Stopping
from commontrace.storage.trace_export import ExportRow
from commontrace.v1 import trace_export_pb2


async def stream(
    request: trace_export_pb2.ExportTracesRequest, export: Export, stopping: Stopping, *, model_id: str
) -> AsyncGenerator[trace_export_pb2.ExportTracesResponse]:
    """Yields what is left of the export behind the request's cursor. Raises ServerStopping between two messages."""
    after, size = OLDEST_FIRST.position(request), request.batch_size or limits.EXPORT_TRACES_DEFAULT
    while rows := await stopping.unless_begun(export.page(after=after, size=size)):
        for response in responses(request, rows, model_id=model_id):
            stopping.refuse()
            yield response
        after = rows[-1].position


def responses(
    request: trace_export_pb2.ExportTracesRequest, rows: Sequence[ExportRow], *, model_id: str
) -> Iterator[trace_export_pb2.ExportTracesResponse]:
    """Yields the traces in one response, or in several where one would exceed 2 MiB, each with its cursor."""
    response, budget, last = trace_export_pb2.ExportTracesResponse(), ResponseBudget(), rows[0]
    for row in rows:
        record = record_message(row, model_id=model_id)
        if not budget.take(record):
            response.cursor = OLDEST_FIRST.token(request, last.position)
            yield response
            response, budget = trace_export_pb2.ExportTracesResponse(), ResponseBudget()
            budget.take(record)
        response.traces.append(record)
        last = row
    response.cursor = OLDEST_FIRST.token(request, last.position)
    yield response
