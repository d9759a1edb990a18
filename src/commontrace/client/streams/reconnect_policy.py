"""Reconnect policy of resumable streams: exponential back-off with jitter, bounded in number."""

import grpc

from commontrace.backoff import backoff_seconds
from commontrace.client.errors import CallFailed

BREAKS = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})
"""Status codes of a stream whose connection, or whose server, is gone."""

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 1.0


class ReconnectPolicy:
    """Pauses before each new stream. Gives up after `most` breaks without a message between them; None: never."""

    def __init__(self, *, most: int | None) -> None:
        self._most = most
        self._breaks = 0

    def reset(self) -> None:
        """Begins a new series of breaks: a message has arrived."""
        self._breaks = 0

    def pause_after(self, failure: CallFailed) -> float | None:
        """Counts a break and returns the seconds until the next attempt, None to give up.

        The pause comes on top of the server's `retry_after`: clients that it refused together come back one by one.
        """
        if self._breaks == self._most:
            return None
        self._breaks += 1
        pause = backoff_seconds(self._breaks, first=_FIRST_PAUSE_SECONDS, longest=_LONGEST_PAUSE_SECONDS)
        return pause + (failure.retry_after or 0.0)
