"""Calls that take traces elsewhere."""

from collections.abc import AsyncGenerator
from functools import partial

from commontrace.client.aio.calls import Calls
from commontrace.client.aio.resumable_stream import items
from commontrace.client.streams.export_progress import ExportProgress
from commontrace.v1 import trace_export_pb2, trace_filter_pb2, trace_record_pb2


class TraceExporting(Calls):
    """Calls that take traces elsewhere."""

    def export_traces(
        self,
        filter: trace_filter_pb2.TraceFilter | None = None,  # noqa: A002 - the contract's name
        *,
        embeddings: bool = False,
        batch_size: int = 0,
    ) -> AsyncGenerator[trace_record_pb2.TraceRecord]:
        """Yields traces as records that another server can import, oldest first, and holds one message.

        Without a filter, they are all live traces, those that others replace too. `embeddings` adds their vectors,
        `batch_size` is how many traces a message brings at most. Where the connection breaks or the server stops, the
        export goes on behind the last message that arrived: what is there throughout comes exactly once. It may take as
        long as it takes, but fails if nothing arrives for as long as a call may take, twice that at most.
        """
        request = trace_export_pb2.ExportTracesRequest(
            filter=filter, include_embeddings=embeddings, batch_size=batch_size
        )
        open_stream = partial(self._responses, self._traces.ExportTraces)
        return items(open_stream, ExportProgress(request, self._options))
