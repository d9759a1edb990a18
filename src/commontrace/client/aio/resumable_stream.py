"""Streams that go on by themselves where a connection breaks."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from commontrace.client.aio.calls import sleep
from commontrace.client.errors import CallFailed
from commontrace.client.streams.stream_progress import Item, Request, Response, StreamProgress

OpenStream = Callable[[Request, float], AsyncGenerator[Response]]
"""Asks for a request's messages within so many seconds."""


async def items(
    open_stream: OpenStream[Request, Response], progress: StreamProgress[Request, Response, Item]
) -> AsyncGenerator[Item]:
    """Yields what the streams bring, and holds one message; closing it early cancels the call."""
    while True:
        try:
            async with aclosing(open_stream(progress.next_request(), progress.seconds_left)) as responses:
                async for response in responses:
                    for item in progress.take(response):
                        yield item
        except CallFailed as failure:
            if progress.is_complete:
                return
            pause = progress.pause_after(failure)
            if pause is None:
                raise
            await sleep(pause)
        else:
            return
