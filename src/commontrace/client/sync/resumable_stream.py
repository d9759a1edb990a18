# Generated from the asynchronous client by `make generate`. Do not edit.
"""Streams that go on by themselves where a connection breaks."""

from collections.abc import Callable, Generator
from contextlib import closing

from commontrace.client.errors import CallFailed
from commontrace.client.streams.stream_progress import Item, Request, Response, StreamProgress
from commontrace.client.sync.calls import sleep

OpenStream = Callable[[Request, float], Generator[Response]]
"""Asks for a request's messages within so many seconds."""


def items(
    open_stream: OpenStream[Request, Response], progress: StreamProgress[Request, Response, Item]
) -> Generator[Item]:
    """Yields what the streams bring, and holds one message; closing it early cancels the call."""
    while True:
        try:
            with closing(open_stream(progress.next_request(), progress.seconds_left)) as responses:
                for response in responses:
                    yield from progress.take(response)
        except CallFailed as failure:
            if progress.is_complete:
                return
            pause = progress.pause_after(failure)
            if pause is None:
                raise
            sleep(pause)
        else:
            return
