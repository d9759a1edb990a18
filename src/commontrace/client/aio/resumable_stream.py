"""Resumable server streams: reconnect after a broken connection and continue after the last message."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from commontrace.client.aio.calls import sleep
from commontrace.client.errors import CallFailed
from commontrace.client.streams.stream_progress import Item, Request, Response, StreamProgress

OpenStream = Callable[[Request, float], AsyncGenerator[Response]]
"""Sends a request with a timeout in seconds, and yields its messages."""


async def resume_stream(
    open_stream: OpenStream[Request, Response], progress: StreamProgress[Request, Response, Item]
) -> AsyncGenerator[Item]:
    """Yields the items of all streams, with one message in memory; closing the generator cancels the call."""
    while True:
        try:
            async with aclosing(open_stream(progress.next_request(), progress.seconds_left)) as responses:
                async for response in responses:
                    for item in progress.receive(response):
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
