"""Exported traces cut into messages that every client can receive."""

from collections.abc import AsyncGenerator, Iterator, Sequence

from commontrace.core.traces.export import Export
from commontrace.domain import limits
from commontrace.rpc.messages.exports import record_message
from commontrace.rpc.paging import response_budget
from commontrace.rpc.paging.page_tokens import OLDEST_FIRST
from commontrace.rpc.shutdown import ShutdownSignal
from commontrace.storage.traces.export import ExportRow
from commontrace.v1 import trace_export_pb2


async def stream(
    request: trace_export_pb2.ExportTracesRequest, export: Export, stopping: ShutdownSignal, *, model_id: str
) -> AsyncGenerator[trace_export_pb2.ExportTracesResponse]:
    """Yields what is left of the export behind the request's cursor. Raises ServerStopping between two messages."""
    after, size = OLDEST_FIRST.position(request), request.batch_size or limits.EXPORT_TRACES_DEFAULT
    while rows := await stopping.unless_begun(export.load_page(after=after, size=size)):
        for response in responses(request, rows, model_id=model_id):
            stopping.refuse()
            yield response
        after = rows[-1].cursor


def responses(
    request: trace_export_pb2.ExportTracesRequest, rows: Sequence[ExportRow], *, model_id: str
) -> Iterator[trace_export_pb2.ExportTracesResponse]:
    """Yields the traces in one response, or in several where one would exceed 2 MiB, each with its cursor."""
    sent = 0
    for run in response_budget.cut(record_message(row, model_id=model_id) for row in rows):
        sent += len(run)
        cursor = OLDEST_FIRST.token(request, rows[sent - 1].cursor)
        yield trace_export_pb2.ExportTracesResponse(traces=run, cursor=cursor)
