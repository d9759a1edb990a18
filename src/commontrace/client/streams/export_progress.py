"""What has arrived of an export."""

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
    """The state of an export over all the streams that it takes, each of which goes on behind the last message."""

    def __init__(self, request: trace_export_pb2.ExportTracesRequest, options: CallOptions) -> None:
        """Takes what to export and how calls are made; their deadline is for each stream that brings nothing."""
        super().__init__(options)
        self._request = request
        self._brought_something = False

    @property
    def seconds_left(self) -> float:
        """The deadline: that of a stream which brought something is followed by another stream."""
        return self._options.deadline

    def next_request(self) -> trace_export_pb2.ExportTracesRequest:
        """Returns what to ask for."""
        self._brought_something = False
        request = trace_export_pb2.ExportTracesRequest()
        request.CopyFrom(self._request)
        return request

    def take(self, response: trace_export_pb2.ExportTracesResponse) -> Iterable[trace_record_pb2.TraceRecord]:
        """Returns the traces that a message brings."""
        self._arrived()
        self._brought_something = True
        self._request.cursor = response.cursor
        return response.traces

    def pause_after(self, failure: CallFailed) -> float | None:
        """Returns the same; no pause where only the stream's own time is over."""
        if failure.code is grpc.StatusCode.DEADLINE_EXCEEDED and self._brought_something:
            return 0.0
        return super().pause_after(failure)
