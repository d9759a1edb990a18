"""Progress of an import: batches, unacknowledged messages, and when to reconnect (ADR 0018)."""

import time
from collections import deque
from dataclasses import dataclass, field

import grpc

from commontrace.client.call_options import CallOptions
from commontrace.client.errors import CallFailed, Unavailable
from commontrace.client.streams.reconnect_policy import BREAKS, ReconnectPolicy
from commontrace.v1 import error_reason_pb2, trace_import_pb2, trace_record_pb2

Record = trace_record_pb2.TraceRecord | trace_import_pb2.ImportItem
"""A trace to import; an ImportItem has its own sequence."""

# Half of the largest request, because a message whose stream breaks is sent again as a whole.
_MESSAGE_BYTES = 1 << 19
_MESSAGE_ITEMS = 500
ITEM_BYTES = (1 << 20) - 1024
"""The largest item that fits into a request."""
_UNACKNOWLEDGED_MESSAGES = 4


def record_of(record: Record) -> trace_record_pb2.TraceRecord:
    """Returns the trace itself."""
    return record.trace if isinstance(record, trace_import_pb2.ImportItem) else record


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A batch of items, and the results of those among them that are too large to be sent."""

    request: trace_import_pb2.ImportTracesRequest
    refused: list[trace_import_pb2.ImportResult] = field(default_factory=list)


class ImportProgress:
    """The state of an import over all its streams.

    The deadline of the calls bounds the wait for each response, including reconnects. An empty `namespace` leaves each
    trace to that of its record.
    """

    def __init__(self, import_id: str, options: CallOptions, *, namespace: str = "") -> None:
        self.source_failure: CallFailed | None = None
        """The failure of a call that makes the records."""
        self._import_id = import_id
        self._namespace = namespace
        self._options = options
        self._sequence = 0
        self._batch = self._empty()
        self._batch_bytes = 0
        self._unacknowledged: deque[Message] = deque()
        self._in_flight = 0
        self._answer_due: float | None = None
        self._has_begun = self._stream_is_answered = False
        self._reconnect_policy = ReconnectPolicy(most=None)

    @property
    def has_room(self) -> bool:
        """True if another message may be sent in this stream before the next response."""
        # Only one before the first response: gRPC loses an error of the server that arrives during a send.
        return self._in_flight < (_UNACKNOWLEDGED_MESSAGES if self._stream_is_answered else 1)

    @property
    def is_idle(self) -> bool:
        """True if every message that was sent is acknowledged."""
        return not self._unacknowledged

    def seconds_left(self) -> float:
        """Returns the seconds left for the next response; its deadline runs from the first call since the last one."""
        now = time.monotonic()
        if self._answer_due is None:
            self._answer_due = now + self._options.deadline
        return max(self._answer_due - now, 0.0)

    def add(self, record: Record) -> Message | None:
        """Adds a trace to the batch; returns the previous batch where that is full, else None."""
        item = self._item(record)
        size, full = item.ByteSize(), None
        if len(self._batch.request.items) == _MESSAGE_ITEMS or self._batch_bytes + size > _MESSAGE_BYTES:
            full = self.flush()
        if size > ITEM_BYTES:
            self._batch.refused.append(too_large(item.sequence, size))
        else:
            self._batch.request.items.append(item)
            self._batch_bytes += size
        return full

    def flush(self) -> Message | None:
        """Returns the batch and begins a new one; None for an empty batch."""
        message = self._batch
        self._batch, self._batch_bytes = self._empty(), 0
        return message if message.request.items or message.refused else None

    def progress_request(self) -> Message:
        """Returns a message without items, whose response is the progress of the import."""
        return self._empty()

    def begin_stream(self) -> None:
        """Begins a new stream, in which all unacknowledged messages are sent again."""
        self._in_flight, self._stream_is_answered = 0, False

    def next_unacknowledged(self) -> trace_import_pb2.ImportTracesRequest | None:
        """Returns the next request to send again in this stream, None without one."""
        if self._in_flight == len(self._unacknowledged):
            return None
        self._in_flight += 1
        return self._unacknowledged[self._in_flight - 1].request

    def send(self, message: Message) -> trace_import_pb2.ImportTracesRequest:
        """Returns the request of a message, and keeps the message until it is acknowledged."""
        self._unacknowledged.append(message)
        self._in_flight += 1
        return message.request

    def receive(self, response: trace_import_pb2.ImportTracesResponse | None) -> trace_import_pb2.ImportTracesResponse:
        """Acknowledges the oldest message, and returns the response with the results of items that were not sent.

        Raises Unavailable for None, a stream that ended early.
        """
        if response is None:
            raise Unavailable("the stream ended before everything was answered", code=grpc.StatusCode.UNAVAILABLE)
        self._has_begun = self._stream_is_answered = True
        self._in_flight -= 1
        self._reconnect_policy.reset()
        self._answer_due = None
        message = self._unacknowledged.popleft()
        if message.refused:
            results = sorted([*response.results, *message.refused], key=lambda result: result.sequence)
            del response.results[:]
            response.results.extend(results)
        return response

    def pause_after(self, failure: CallFailed) -> float | None:
        """Returns the pause before a reconnect, in seconds, None for a final failure or an exceeded deadline."""
        if failure is self.source_failure:
            return None
        # An address that never answered is probably no server.
        has_answered = self._has_begun or bool(failure.reason) or self._options.waits_for_server
        if not (has_answered and _is_connection_loss(failure)):
            return None
        pause = self._reconnect_policy.pause_after(failure)
        return pause if pause is not None and pause < self.seconds_left() else None

    def _item(self, record: Record) -> trace_import_pb2.ImportItem:
        if isinstance(record, trace_import_pb2.ImportItem):
            self._sequence = record.sequence
            return record
        self._sequence += 1
        return trace_import_pb2.ImportItem(sequence=self._sequence, trace=record)

    def _empty(self) -> Message:
        # In every message, because any may be the first of a stream.
        request = trace_import_pb2.ImportTracesRequest(import_id=self._import_id, namespace=self._namespace)
        return Message(request=request)


def _is_connection_loss(failure: CallFailed) -> bool:
    # If the server ends the stream while grpc.aio is sending, grpc.aio reports INTERNAL instead of the server's status.
    is_local = failure.code is grpc.StatusCode.INTERNAL and not failure.reason
    return failure.code in BREAKS or failure.retry_after is not None or is_local


def too_large(sequence: int, size: int) -> trace_import_pb2.ImportResult:
    """Returns the result of an item that no request can hold; `size` is in bytes."""
    reason = error_reason_pb2.ERROR_REASON_REQUEST_TOO_LARGE
    message = f"REQUEST_TOO_LARGE: the trace has {size} bytes; at most {ITEM_BYTES} fit into a request"
    code = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    return trace_import_pb2.ImportResult(
        sequence=sequence, error=error_reason_pb2.ItemError(code=code, reason=reason, message=message)
    )
