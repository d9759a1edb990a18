"""Live events of traces, as an iterator that reconnects."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Self

from commontrace.client.aio.calls import sleep
from commontrace.client.errors import CallFailed
from commontrace.client.streams.watch_progress import WatchProgress
from commontrace.v1 import trace_event_pb2

OpenStream = Callable[
    [trace_event_pb2.WatchTracesRequest, Callable[[], float]], AsyncGenerator[trace_event_pb2.WatchTracesResponse]
]


class WatchStream:
    """An endless iterator over events, which reconnects where the connection breaks or the server shuts down.

    `Client.watch` makes one. Watching begins with the first event read; as a context manager, it begins on entry, so
    that no later event is missed, and ends on exit.
    """

    def __init__(self, open_stream: OpenStream, progress: WatchProgress) -> None:
        self._progress = progress
        self._events = _watch_events(open_stream, progress)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> trace_event_pb2.TraceEvent:
        while True:
            event = await anext(self._events)
            if event is not None:
                return event

    async def __aenter__(self) -> Self:
        if not self._progress.has_begun:
            # A stream begins with a checkpoint.
            await anext(self._events)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends watching."""
        await self._events.aclose()

    @property
    def resume_token(self) -> str:
        """Token with which `Client.watch` resumes after the last event read; empty before watching begins."""
        return self._progress.resume_token


# Not a generator method, whose reference to the stream would keep that alive after its last user.
async def _watch_events(
    open_stream: OpenStream, progress: WatchProgress
) -> AsyncGenerator[trace_event_pb2.TraceEvent | None]:
    """Yields events, None for a checkpoint."""
    while True:
        try:
            async with aclosing(open_stream(progress.next_request(), lambda: progress.silence_seconds)) as responses:
                async for response in responses:
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
            await sleep(pause)
