"""Progress of a resumable stream, and when to reconnect."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Generic, TypeVar

from commontrace.client.call_options import CallOptions
from commontrace.client.errors import CallFailed
from commontrace.client.streams.reconnect_policy import BREAKS, ReconnectPolicy

Request = TypeVar("Request")
Response = TypeVar("Response")
Item = TypeVar("Item")

_SHUTDOWN_REASON = "SERVER_STOPPING"
_MAX_CONSECUTIVE_RECONNECTS = 5


class StreamProgress(ABC, Generic[Request, Response, Item]):
    """The state of a read over as many streams as it takes, each of which resumes after the one before."""

    is_complete = False
    """True once everything has arrived, however the stream ends."""

    def __init__(self, options: CallOptions) -> None:
        self._options = options
        self._has_begun = False
        self._reconnect_policy = ReconnectPolicy(most=_MAX_CONSECUTIVE_RECONNECTS)

    @property
    @abstractmethod
    def seconds_left(self) -> float:
        """Timeout of the next stream, in seconds."""

    @abstractmethod
    def next_request(self) -> Request:
        """Returns the next request: for everything, or after a reconnect for the rest."""

    @abstractmethod
    def receive(self, response: Response) -> Iterable[Item]:
        """Returns the items of a message. Calls `_record_message`."""

    def _record_message(self) -> None:
        self._has_begun = True
        self._reconnect_policy.reset()

    def pause_after(self, failure: CallFailed) -> float | None:
        """Returns the pause before a reconnect, in seconds, None for a final failure."""
        # Before the first message, the retry policy of the channel has already done its work.
        may_reconnect = self._has_begun or (self._options.waits_for_server and failure.reason in ("", _SHUTDOWN_REASON))
        return self._reconnect_policy.pause_after(failure) if may_reconnect and failure.code in BREAKS else None
