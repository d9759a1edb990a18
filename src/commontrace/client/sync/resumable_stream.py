# Generated from the asynchronous client by `make generate`. Do not edit.
"""Resumable server streams: reconnect after a broken connection and continue after the last message."""

from collections.abc import Callable, Generator
from contextlib import closing

from commontrace.client.errors import CallFailed
from commontrace.client.streams.stream_progress import Item, Request, Response, StreamProgress
from commontrace.client.sync.calls import sleep

OpenStream = Callable[[Request, float], Generator[Response]]
"""Sends a request with a timeout in seconds, and yields its messages."""


def resume_stream(
    open_stream: OpenStream[Request, Response], progress: StreamProgress[Request, Response, Item]
) -> Generator[Item]:
    """Yields the items of all streams, with one message in memory; closing the generator cancels the call."""
    while True:
        try:
            with closing(open_stream(progress.next_request(), progress.seconds_left)) as responses:
                for response in responses:
                    yield from progress.receive(response)
        except CallFailed as failure:
            if progress.is_complete:
                return
            pause = progress.pause_after(failure)
            if pause is None:
                raise
            sleep(pause)
        else:
            return
