"""Progress of watching events, and when to reconnect (ADR 0019)."""

from collections.abc import Sequence

import grpc

from commontrace.client.call_options import CallOptions
from commontrace.client.errors import CallFailed
from commontrace.client.streams.reconnect_policy import BREAKS, ReconnectPolicy
from commontrace.v1 import trace_event_pb2, trace_filter_pb2

_SILENCE_SECONDS = 30.0
"""The time of three missing checkpoints."""

# After a restart, all watchers reconnect at once, which may exhaust the server's connections for a moment.
_TRANSIENT_CODES = BREAKS | {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED}
_MAX_RECONNECTS_WITHOUT_WAITING = 5


class WatchProgress:
    """The state of watching over all its streams. `resume_token` is that of the last event read.

    An empty token at the beginning stands for now, no `namespaces` for all that the caller may read.
    """

    def __init__(self, resume_token: str, options: CallOptions, *, namespaces: Sequence[str] = ()) -> None:
        self.resume_token = resume_token
        self._received_token = resume_token
        self._options = options
        self._filter = trace_filter_pb2.TraceFilter(namespaces=namespaces) if namespaces else None
        self._has_begun = False
        self._reconnect_policy = ReconnectPolicy(
            most=_MAX_RECONNECTS_WITHOUT_WAITING if options.wait_for_ready is False else None
        )

    @property
    def has_begun(self) -> bool:
        """True once a message has arrived, from which on no event is missed."""
        return self._has_begun

    @property
    def silence_seconds(self) -> float:
        """Seconds without a message after which the connection counts as dead."""
        return _SILENCE_SECONDS if self._has_begun else min(self._options.deadline, _SILENCE_SECONDS)

    def next_request(self) -> trace_event_pb2.WatchTracesRequest:
        """Returns the next request: for events after the last message."""
        return trace_event_pb2.WatchTracesRequest(resume_token=self._received_token, filter=self._filter)

    def receive(self, response: trace_event_pb2.WatchTracesResponse) -> Sequence[trace_event_pb2.TraceEvent]:
        """Returns the events of a message, none for a checkpoint."""
        self._has_begun = True
        self._reconnect_policy.reset()
        self._received_token = response.resume_token
        if not response.events:
            self.resume_token = response.resume_token
        return response.events

    def pause_after(self, failure: CallFailed) -> float | None:
        """Returns the pause before a reconnect, in seconds, None for a final failure.

        Before the first message, every failure is final, because the channel's retry policy has already done its work.
        """
        return (
            self._reconnect_policy.pause_after(failure)
            if self._has_begun and failure.code in _TRANSIENT_CODES
            else None
        )
