"""What has arrived of a stream, and how to go on when it breaks."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Generic, TypeVar

from commontrace.client.call_options import CallOptions
from commontrace.client.errors import CallFailed
from commontrace.client.streams.reconnect_policy import BREAKS, ReconnectPolicy

Request = TypeVar("Request")
Response = TypeVar("Response")
Item = TypeVar("Item")

_STOPPING = "SERVER_STOPPING"
_BREAKS_IN_A_ROW = 5


class StreamProgress(ABC, Generic[Request, Response, Item]):
    """The state of what is read over as many streams as it takes, each of which goes on behind the one before."""

    is_complete = False
    """Whether nothing is missing, however the stream ends."""

    def __init__(self, options: CallOptions) -> None:
        """Takes how calls are made."""
        self._options = options
        self._has_begun = False
        self._breaks = ReconnectPolicy(most=_BREAKS_IN_A_ROW)

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
        self._breaks.reset()

    def pause_after(self, failure: CallFailed) -> float | None:
        """Returns after how many seconds to ask for the rest, None if the failure is the last word."""
        # Before the first message, the channel has repeated what the server could not do, and what found no server.
        is_broken = self._has_begun or (self._options.waits and failure.reason in ("", _STOPPING))
        return self._breaks.pause_after(failure) if is_broken and failure.code in BREAKS else None
