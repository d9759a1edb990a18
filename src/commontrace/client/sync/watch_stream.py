# Generated from the asynchronous client by `make generate`. Do not edit.
"""Live events of traces, as an iterator that reconnects."""

from collections.abc import Callable, Generator
from contextlib import closing
from typing import Self

from commontrace.client.errors import CallFailed
from commontrace.client.streams.watch_progress import WatchProgress
from commontrace.client.sync.calls import sleep
from commontrace.v1 import trace_event_pb2

OpenStream = Callable[
    [trace_event_pb2.WatchTracesRequest, Callable[[], float]], Generator[trace_event_pb2.WatchTracesResponse]
]


class WatchStream:
    """An endless iterator over events, which reconnects where the connection breaks or the server shuts down.

    `Client.watch` makes one. Watching begins with the first event read; as a context manager, it begins on entry, so
    that no later event is missed, and ends on exit.
    """

    def __init__(self, open_stream: OpenStream, progress: WatchProgress) -> None:
        self._progress = progress
        self._events = _watch_events(open_stream, progress)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> trace_event_pb2.TraceEvent:
        while True:
            event = next(self._events)
            if event is not None:
                return event

    def __enter__(self) -> Self:
        if not self._progress.has_begun:
            # A stream begins with a checkpoint.
            next(self._events)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends watching."""
        self._events.close()

    @property
    def resume_token(self) -> str:
        """Token with which `Client.watch` resumes after the last event read; empty before watching begins."""
        return self._progress.resume_token


# Not a generator method, whose reference to the stream would keep that alive after its last user.
def _watch_events(open_stream: OpenStream, progress: WatchProgress) -> Generator[trace_event_pb2.TraceEvent | None]:
    """Yields events, None for a checkpoint."""
    while True:
        try:
            with closing(open_stream(progress.next_request(), lambda: progress.silence_seconds)) as responses:
                for response in responses:
                    events = progress.receive(response)
                    if not events:
                        yield None
                    for event in events:
                        progress.resume_token = event.resume_token
                        yield event
        except CallFailed as failure:
            pause = progress.pause_after(failure)
            if pause is None:
                raise
            sleep(pause)
