"""Bulk export of traces: ExportTraces."""

from collections.abc import AsyncGenerator
from functools import partial

from commontrace.client.aio.calls import Calls
from commontrace.client.aio.resumable_stream import resume_stream
from commontrace.client.streams.export_progress import ExportProgress
from commontrace.v1 import trace_export_pb2, trace_filter_pb2, trace_record_pb2


class ExportCalls(Calls):
    """Calls of the bulk export."""

    def export_traces(
        self,
        filter: trace_filter_pb2.TraceFilter | None = None,  # noqa: A002 - the contract's name
        *,
        embeddings: bool = False,
        batch_size: int = 0,
    ) -> AsyncGenerator[trace_record_pb2.TraceRecord]:
        """Yields traces as records that another server can import, oldest first, with one message in memory.

        Without a filter, these are all live traces, superseded ones too. `embeddings` adds their vectors; `batch_size`
        is the largest number of traces in one message. Where the connection breaks or the server shuts down, the export
        resumes after the last message: a trace that exists throughout is yielded exactly once. It has no deadline as a
        whole, but fails if nothing arrives within the client's deadline, at most twice that.
        """
        request = trace_export_pb2.ExportTracesRequest(
            filter=filter, include_embeddings=embeddings, batch_size=batch_size
        )
        open_stream = partial(self._responses, self._traces.ExportTraces)
        return resume_stream(open_stream, ExportProgress(request, self._options))
