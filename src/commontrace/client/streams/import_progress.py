"""What of an import is on its way, and how to go on when its stream breaks."""

import time
from collections import deque
from dataclasses import dataclass, field

import grpc

from commontrace.client.call_options import CallOptions
from commontrace.client.errors import CallFailed, Unavailable
from commontrace.client.streams.reconnect_policy import BREAKS, ReconnectPolicy
from commontrace.v1 import error_reason_pb2, trace_import_pb2, trace_record_pb2

Record = trace_record_pb2.TraceRecord | trace_import_pb2.ImportItem
"""A trace to import; an item brings its own sequence."""

# A message that breaks off is sent again as a whole: half of what one may have is enough.
_MESSAGE_BYTES = 1 << 19
_MESSAGE_ITEMS = 500
_ITEM_BYTES = (1 << 20) - 1024
"""The largest item that fits into a request."""
_UNACKNOWLEDGED_MESSAGES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """Items that are sent together, and what cannot be sent of those that were to be among them."""

    request: trace_import_pb2.ImportTracesRequest
    refused: list[trace_import_pb2.ImportResult] = field(default_factory=list)


class ImportProgress:
    """The state of an import over all the streams that it takes.

    The deadline of the calls bounds how long an answer may be waited for, however often the stream breaks meanwhile.
    """

    def __init__(self, import_id: str, options: CallOptions) -> None:
        """Takes the import's UUID and how calls are made."""
        self._import_id = import_id
        self._options = options
        self._sequence = 0
        self._gathered = self._empty()
        self._gathered_bytes = 0
        self._unacknowledged: deque[Message] = deque()
        self._on_their_way = 0
        self._waits_until: float | None = None
        self._has_begun = self._is_answered = False
        self._breaks = ReconnectPolicy(most=None)

    @property
    def has_room(self) -> bool:
        """Whether another message may be sent in this stream before the next answer."""
        # The first one alone: what the server has against a stream is lost where gRPC is still sending (see _is_break).
        return self._on_their_way < (_UNACKNOWLEDGED_MESSAGES if self._is_answered else 1)

    @property
    def is_idle(self) -> bool:
        """Whether everything that was sent is acknowledged."""
        return not self._unacknowledged

    def seconds_left(self) -> float:
        """Returns how long the next answer may still take, from when this was asked first since the last one."""
        now = time.monotonic()
        if self._waits_until is None:
            self._waits_until = now + self._options.deadline
        return max(self._waits_until - now, 0.0)

    def gather(self, record: Record) -> Message | None:
        """Adds a trace to the next message; returns the one before if it is full."""
        item = self._item(record)
        size, full = item.ByteSize(), None
        if len(self._gathered.request.items) == _MESSAGE_ITEMS or self._gathered_bytes + size > _MESSAGE_BYTES:
            full = self.gathered()
        if size > _ITEM_BYTES:
            self._gathered.refused.append(_too_large(item.sequence, size))
        else:
            self._gathered.request.items.append(item)
            self._gathered_bytes += size
        return full

    def gathered(self) -> Message | None:
        """Returns what was gathered since the last message, None if that is nothing."""
        message = self._gathered
        self._gathered, self._gathered_bytes = self._empty(), 0
        return message if message.request.items or message.refused else None

    def question(self) -> Message:
        """Returns a message without items, which asks how far the import has come."""
        return self._empty()

    def begin(self) -> None:
        """Begins a new stream: what no stream before it has seen acknowledged is sent again."""
        self._on_their_way, self._is_answered = 0, False

    def repeated(self) -> trace_import_pb2.ImportTracesRequest | None:
        """Returns the next request to send again, None if there is none."""
        if self._on_their_way == len(self._unacknowledged):
            return None
        self._on_their_way += 1
        return self._unacknowledged[self._on_their_way - 1].request

    def send(self, message: Message) -> trace_import_pb2.ImportTracesRequest:
        """Returns the request that carries a message, which is sent again until it is acknowledged."""
        self._unacknowledged.append(message)
        self._on_their_way += 1
        return message.request

    def take(self, response: trace_import_pb2.ImportTracesResponse | None) -> trace_import_pb2.ImportTracesResponse:
        """Takes the answer to the oldest message, and returns it with what could not be sent in its place.

        Raises Unavailable for None, the end of a stream that should have gone on.
        """
        if response is None:
            raise Unavailable("the stream ended before everything was answered", code=grpc.StatusCode.UNAVAILABLE)
        self._has_begun = self._is_answered = True
        self._on_their_way -= 1
        self._breaks.reset()
        self._waits_until = None
        message = self._unacknowledged.popleft()
        if message.refused:
            results = sorted([*response.results, *message.refused], key=lambda result: result.sequence)
            del response.results[:]
            response.results.extend(results)
        return response

    def pause_after(self, failure: CallFailed) -> float | None:
        """Returns after how many seconds to go on, None if the failure is the import's own or time is up."""
        # A server that never answered is probably none.
        is_known = self._has_begun or bool(failure.reason) or self._options.waits
        if not (is_known and _is_break(failure)):
            return None
        pause = self._breaks.pause_after(failure)
        return pause if pause is not None and pause < self.seconds_left() else None

    def _item(self, record: Record) -> trace_import_pb2.ImportItem:
        if isinstance(record, trace_import_pb2.ImportItem):
            self._sequence = record.sequence
            return record
        self._sequence += 1
        return trace_import_pb2.ImportItem(sequence=self._sequence, trace=record)

    def _empty(self) -> Message:
        return Message(request=trace_import_pb2.ImportTracesRequest(import_id=self._import_id))


def _is_break(failure: CallFailed) -> bool:
    # Where the server ends a stream while grpc.aio is sending, grpc.aio makes up a failure of its own.
    is_made_up = failure.code is grpc.StatusCode.INTERNAL and not failure.reason
    return failure.code in BREAKS or failure.retry_after is not None or is_made_up


def _too_large(sequence: int, size: int) -> trace_import_pb2.ImportResult:
    reason = error_reason_pb2.ERROR_REASON_REQUEST_TOO_LARGE
    message = f"REQUEST_TOO_LARGE: the trace has {size} bytes; at most {_ITEM_BYTES} fit into a request"
    code = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    return trace_import_pb2.ImportResult(
        sequence=sequence, error=error_reason_pb2.ItemError(code=code, reason=reason, message=message)
    )
