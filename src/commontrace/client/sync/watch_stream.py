# Generated from the asynchronous client by `make generate`. Do not edit.
"""What happens to traces, as it happens."""

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
    """An endless iterator over events, which goes on by itself where a connection breaks or a server stops.

    Watching begins with the first event asked for. Used as a context, it has begun when the context is entered: of what
    happens from then on, nothing is missed. Leaving the context ends it.
    """

    def __init__(self, open_stream: OpenStream, progress: WatchProgress) -> None:
        """Takes how to ask for messages, silent for so many seconds at most; `Client.watch` makes one."""
        self._progress = progress
        self._told = _told(open_stream, progress)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> trace_event_pb2.TraceEvent:
        while True:
            event = next(self._told)
            if event is not None:
                return event

    def __enter__(self) -> Self:
        if not self._progress.has_begun:
            # A stream begins with a checkpoint.
            next(self._told)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends watching."""
        self._told.close()

    @property
    def resume_token(self) -> str:
        """Where `Client.watch` goes on behind the last event that came out of the iterator; empty before it begins."""
        return self._progress.resume_token


# A function, not a method: a stream that nobody holds any more must not be kept alive by its own iterator.
def _told(open_stream: OpenStream, progress: WatchProgress) -> Generator[trace_event_pb2.TraceEvent | None]:
    """Yields events, None for a checkpoint."""
    while True:
        try:
            with closing(open_stream(progress.next_request(), lambda: progress.silence)) as responses:
                for response in responses:
                    events = progress.take(response)
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
