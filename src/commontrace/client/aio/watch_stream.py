"""What happens to traces, as it happens."""

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
    """An endless iterator over events, which goes on by itself where a connection breaks or a server stops.

    Watching begins with the first event asked for. Used as a context, it has begun when the context is entered: of what
    happens from then on, nothing is missed. Leaving the context ends it.
    """

    def __init__(self, open_stream: OpenStream, progress: WatchProgress) -> None:
        """Takes how to ask for messages, silent for so many seconds at most; `Client.watch` makes one."""
        self._progress = progress
        self._told = _told(open_stream, progress)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> trace_event_pb2.TraceEvent:
        while True:
            event = await anext(self._told)
            if event is not None:
                return event

    async def __aenter__(self) -> Self:
        if not self._progress.has_begun:
            # A stream begins with a checkpoint.
            await anext(self._told)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends watching."""
        await self._told.aclose()

    @property
    def resume_token(self) -> str:
        """Where `Client.watch` goes on behind the last event that came out of the iterator; empty before it begins."""
        return self._progress.resume_token


# A function, not a method: a stream that nobody holds any more must not be kept alive by its own iterator.
async def _told(open_stream: OpenStream, progress: WatchProgress) -> AsyncGenerator[trace_event_pb2.TraceEvent | None]:
    """Yields events, None for a checkpoint."""
    while True:
        try:
            async with aclosing(open_stream(progress.next_request(), lambda: progress.silence)) as responses:
                async for response in responses:
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
            await sleep(pause)
