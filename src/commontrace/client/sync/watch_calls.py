# Generated from the asynchronous client by `make generate`. Do not edit.
"""The call that tells what happens to traces."""

from functools import partial

from commontrace.client.streams.watch_progress import WatchProgress
from commontrace.client.sync.calls import Calls
from commontrace.client.sync.watch_stream import WatchStream


class Watching(Calls):
    """The call that tells what happens to traces."""

    def watch(self, resume_token: str = "") -> WatchStream:
        """Returns an iterator over what happens to traces, for as long as it is read; it has no deadline.

        Begins behind the event, or the stream, whose `resume_token` is given, without one from now on. Every event
        comes once, those of one trace in their order. Where the connection breaks or says nothing for 30 s, or the
        server stops, it goes on behind the last event, however long that takes (a client that is not to wait, see
        `connect`, tries five times). Fails with the reason WATCH_TOKEN_OUT_OF_RANGE for a token older than 7 days.
        """
        open_stream = partial(self._lasting_responses, self._traces.WatchTraces)
        return WatchStream(open_stream, WatchProgress(resume_token, self._options))
