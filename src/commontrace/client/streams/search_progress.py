"""Progress of a search over reconnects (ADR 0011)."""

import time

from commontrace.client.call_options import CallOptions
from commontrace.client.errors import CallFailed
from commontrace.client.streams.default_ranking import default_ranking, refuses_best_ranking
from commontrace.client.streams.stream_progress import StreamProgress
from commontrace.v1 import trace_service_pb2

_DEFAULT_LIMIT = 10
"""The contract's default for a limit of 0."""


class SearchProgress(
    StreamProgress[
        trace_service_pb2.SearchTracesRequest, trace_service_pb2.SearchTracesResponse, trace_service_pb2.SearchHit
    ]
):
    """The state of a search over all its streams, for which the deadline holds together.

    `summary` is that of the last stream with the hit count of all streams, None until it has arrived.
    """

    def __init__(self, request: trace_service_pb2.SearchTracesRequest, options: CallOptions) -> None:
        super().__init__(options)
        self.summary: trace_service_pb2.SearchSummary | None = None
        self._request = request
        self._ranking_is_default = request.ranking == trace_service_pb2.RANKING_UNSPECIFIED
        if self._ranking_is_default:
            request.ranking = default_ranking(request, options.server_state)
        self._remaining = request.limit or _DEFAULT_LIMIT
        self._ends_at: float | None = None
        self._hit_count = 0

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline, which runs from the first use of this property."""
        now = time.monotonic()
        if self._ends_at is None:
            self._ends_at = now + self._options.deadline
        return max(self._ends_at - now, 0.0)

    def next_request(self) -> trace_service_pb2.SearchTracesRequest:
        """Returns the next request: for all hits, or after a reconnect for the missing ones."""
        request = trace_service_pb2.SearchTracesRequest()
        request.CopyFrom(self._request)
        if self._has_begun:
            # At least 1, because 0 stands for the default. Where only the summary is missing, `receive` drops that hit.
            request.limit = max(self._remaining, 1)
        return request

    def receive(self, response: trace_service_pb2.SearchTracesResponse) -> list[trace_service_pb2.SearchHit]:
        """Returns the hits of a message, and stores its resume token and summary."""
        self._record_message()
        hits = list(response.hits[: self._remaining])
        self._remaining -= len(hits)
        self._hit_count += len(hits)
        if response.resume_token:
            self._request.resume_token = response.resume_token
        if response.HasField("summary"):
            self.is_complete = True
            self.summary = response.summary
            self.summary.hit_count = self._hit_count
            if not self._remaining:
                self.summary.stop_reason = trace_service_pb2.STOP_REASON_LIMIT
        return hits

    def pause_after(self, failure: CallFailed) -> float | None:
        """Returns the pause before a reconnect, None for a final failure or where it would outlast the deadline."""
        pause = 0.0 if self._falls_back_to_hybrid(failure) else super().pause_after(failure)
        return pause if pause is not None and pause < self.seconds_left else None

    def _falls_back_to_hybrid(self, failure: CallFailed) -> bool:
        """Replaces RANKING_BEST where an older server refuses it; returns whether it did.

        Not after the first message: a resume token belongs to the ranking of its request.
        """
        is_best = self._request.ranking == trace_service_pb2.RANKING_BEST
        if self._has_begun or not (self._ranking_is_default and is_best and refuses_best_ranking(failure)):
            return False
        self._options.server_state.knows_best_ranking = False
        self._request.ranking = default_ranking(self._request, self._options.server_state)
        return True
