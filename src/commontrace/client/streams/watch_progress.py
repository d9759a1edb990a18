"""How far somebody who watches has been told, and how to go on when the stream breaks."""

from collections.abc import Sequence

import grpc

from commontrace.client.call_options import CallOptions
from commontrace.client.errors import CallFailed
from commontrace.client.streams.reconnect_policy import BREAKS, ReconnectPolicy
from commontrace.v1 import trace_event_pb2

_SILENCE_SECONDS = 30.0
"""Three checkpoints that did not come."""

# When a server comes back, everybody does at once: it may be short of connections for a moment.
_PASSING = BREAKS | {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED}
_BREAKS_OF_THE_IMPATIENT = 5


class WatchProgress:
    """The state of watching over all the streams that it takes. `resume_token` is behind the last event taken out."""

    def __init__(self, resume_token: str, options: CallOptions) -> None:
        """Takes where to begin, empty for from now on, and how calls are made."""
        self.resume_token = resume_token
        self._arrived = resume_token
        self._options = options
        self._has_begun = False
        self._breaks = ReconnectPolicy(most=_BREAKS_OF_THE_IMPATIENT if options.wait_for_ready is False else None)

    @property
    def has_begun(self) -> bool:
        """Whether anything has arrived: whatever happens from then on will be told."""
        return self._has_begun

    @property
    def silence(self) -> float:
        """How many seconds may pass without a message before the connection counts as dead."""
        return _SILENCE_SECONDS if self._has_begun else min(self._options.deadline, _SILENCE_SECONDS)

    def next_request(self) -> trace_event_pb2.WatchTracesRequest:
        """Returns what to ask for: what follows the last message."""
        return trace_event_pb2.WatchTracesRequest(resume_token=self._arrived)

    def take(self, response: trace_event_pb2.WatchTracesResponse) -> Sequence[trace_event_pb2.TraceEvent]:
        """Returns the events that a message brings."""
        self._has_begun = True
        self._breaks.reset()
        self._arrived = response.resume_token
        if not response.events:
            self.resume_token = response.resume_token
        return response.events

    def pause_after(self, failure: CallFailed) -> float | None:
        """Returns after how many seconds to ask for the rest, None if there is no going on.

        Before the first message, there is none: the channel has repeated what could be repeated.
        """
        return self._breaks.pause_after(failure) if self._has_begun and failure.code in _PASSING else None
