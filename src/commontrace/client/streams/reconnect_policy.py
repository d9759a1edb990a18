"""Whether a stream that broke goes on, and after how long."""

import grpc

from commontrace.client.errors import CallFailed

BREAKS = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})
"""How a stream ends whose connection, or server, has gone."""

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 1.0


class ReconnectPolicy:
    """The breaks in a row: those since the last message that arrived."""

    def __init__(self, *, most: int | None) -> None:
        """Takes how many are borne, None for any number."""
        self._most = most
        self.are_over()

    def are_over(self) -> None:
        """Counts anew: a message has arrived."""
        self._count, self._pause = 0, _FIRST_PAUSE_SECONDS

    def pause_after(self, failure: CallFailed) -> float | None:
        """Counts one and returns after how many seconds to go on, None if it is one too many."""
        if self._count == self._most:
            return None
        pause = self._pause
        self._pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        self._count += 1
        return max(pause, failure.retry_after or 0.0)
