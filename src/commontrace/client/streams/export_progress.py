"""Progress of an export over reconnects."""

from collections.abc import Iterable

import grpc

from commontrace.client.call_options import CallOptions
from commontrace.client.errors import CallFailed
from commontrace.client.streams.stream_progress import StreamProgress
from commontrace.v1 import trace_export_pb2, trace_record_pb2


class ExportProgress(
    StreamProgress[
        trace_export_pb2.ExportTracesRequest, trace_export_pb2.ExportTracesResponse, trace_record_pb2.TraceRecord
    ]
):
    """The state of an export over all its streams, each of which resumes after the last message.

    The deadline of the calls bounds each stream that brings no message.
    """

    def __init__(self, request: trace_export_pb2.ExportTracesRequest, options: CallOptions) -> None:
        super().__init__(options)
        self._request = request
        self._stream_brought_message = False

    @property
    def seconds_left(self) -> float:
        """Timeout of the next stream: the deadline. A stream that brought a message by then is followed by another."""
        return self._options.deadline

    def next_request(self) -> trace_export_pb2.ExportTracesRequest:
        """Returns the next request, with the cursor of the last message."""
        self._stream_brought_message = False
        request = trace_export_pb2.ExportTracesRequest()
        request.CopyFrom(self._request)
        return request

    def receive(self, response: trace_export_pb2.ExportTracesResponse) -> Iterable[trace_record_pb2.TraceRecord]:
        """Returns the traces of a message, and stores its cursor."""
        self._record_message()
        self._stream_brought_message = True
        self._request.cursor = response.cursor
        return response.traces

    def pause_after(self, failure: CallFailed) -> float | None:
        """Returns the pause before a reconnect: 0 after a timeout with messages, None for a final failure."""
        if failure.code is grpc.StatusCode.DEADLINE_EXCEEDED and self._stream_brought_message:
            return 0.0
        return super().pause_after(failure)
