# Generated from the asynchronous client by `make generate`. Do not edit.
"""Live events of traces: WatchTraces."""

from collections.abc import Iterable
from functools import partial

from commontrace.client.requests import reject_single_string
from commontrace.client.streams.watch_progress import WatchProgress
from commontrace.client.sync.calls import Calls
from commontrace.client.sync.watch_stream import WatchStream


class WatchCalls(Calls):
    """The call that watches events."""

    def watch(self, resume_token: str = "", *, namespaces: Iterable[str] = ()) -> WatchStream:
        """Returns an endless iterator over events of traces, without a deadline.

        Begins after the event, or the stream, with this `resume_token`, by default now. Every event comes once, those
        of one trace in order. Where the connection breaks or is silent for 30 s, or the server shuts down, watching
        resumes after the last event, however long that takes (with `wait_for_ready=False`, it fails after five attempts
        to reconnect). Fails with the reason WATCH_TOKEN_OUT_OF_RANGE for a token older than 7 days. Without
        `namespaces`, the events are those of all namespaces that the caller may read at each moment. A token is a
        position among all events: it goes on with other namespaces, too. Raises TypeError if `namespaces` is a single
        string.
        """
        open_stream = partial(self._responses_without_deadline, self._traces.WatchTraces)
        names = sorted(set(reject_single_string("namespaces", namespaces)))
        return WatchStream(open_stream, WatchProgress(resume_token, self._options, namespaces=names))
