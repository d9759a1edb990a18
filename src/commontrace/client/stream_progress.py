"""What has arrived of a stream, and how to go on when it breaks."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Generic, TypeVar

import grpc

from commontrace.client.call_options import CallOptions
from commontrace.client.errors import CallFailed

Request = TypeVar("Request")
Response = TypeVar("Response")
Item = TypeVar("Item")

_BREAKS = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
_STOPPING = "SERVER_STOPPING"
_FRUITLESS_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 1.0


class StreamProgress(ABC, Generic[Request, Response, Item]):
    """The state of what is read over as many streams as it takes, each of which goes on behind the one before."""

    is_complete = False
    """Whether nothing is missing, however the stream ends."""

    def __init__(self, options: CallOptions) -> None:
        """Takes how calls are made."""
        self._options = options
        self._has_begun = False
        self._fruitless_attempts = 0

    @property
    @abstractmethod
    def seconds_left(self) -> float:
        """What the next stream may take."""

    @abstractmethod
    def next_request(self) -> Request:
        """Returns what to ask for: everything, or what is missing after the stream broke."""

    @abstractmethod
    def take(self, response: Response) -> Iterable[Item]:
        """Returns what a message brings. Calls `_arrived`."""

    def _arrived(self) -> None:
        self._has_begun = True
        self._fruitless_attempts = 0

    def pause_after(self, failure: CallFailed) -> float | None:
        """Returns after how many seconds to ask for the rest, None if the failure is the last word."""
        # Before the first message, the channel has repeated what the server could not do, and what found no server.
        is_broken = self._has_begun or (self._options.waits and failure.reason in ("", _STOPPING))
        if not is_broken or failure.code not in _BREAKS or self._fruitless_attempts == _FRUITLESS_ATTEMPTS:
            return None
        backed_off: float = min(_FIRST_PAUSE_SECONDS * 2**self._fruitless_attempts, _LONGEST_PAUSE_SECONDS)
        self._fruitless_attempts += 1
        return max(backed_off, failure.retry_after or 0.0)
