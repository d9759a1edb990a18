"""Export streams: traces in messages of at most 2 MiB, each with the cursor behind it."""

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
    request: trace_export_pb2.ExportTracesRequest, export: Export, shutdown: ShutdownSignal, *, model_id: str
) -> AsyncGenerator[trace_export_pb2.ExportTracesResponse]:
    """Yields the export from the request's cursor on. Raises ServerStopping between two messages."""
    after, size = OLDEST_FIRST.position(request), request.batch_size or limits.EXPORT_TRACES_DEFAULT
    while rows := await shutdown.wait_for(export.load_page(after=after, size=size)):
        for response in responses(request, rows, model_id=model_id):
            shutdown.raise_if_begun()
            yield response
        after = rows[-1].cursor


def responses(
    request: trace_export_pb2.ExportTracesRequest, rows: Sequence[ExportRow], *, model_id: str
) -> Iterator[trace_export_pb2.ExportTracesResponse]:
    """Yields the traces in one response, or in several where one would exceed 2 MiB."""
    sent = 0
    for run in response_budget.split(record_message(row, model_id=model_id) for row in rows):
        sent += len(run)
        cursor = OLDEST_FIRST.token(request, rows[sent - 1].cursor)
        yield trace_export_pb2.ExportTracesResponse(traces=run, cursor=cursor)
