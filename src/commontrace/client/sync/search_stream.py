# Generated from the asynchronous client by `make generate`. Do not edit.
"""The hits of a search, as they arrive."""

from collections.abc import Callable, Generator
from contextlib import closing
from typing import Self

from commontrace.client.errors import CallFailed
from commontrace.client.search_progress import SearchProgress
from commontrace.client.sync.calls import sleep
from commontrace.v1 import trace_service_pb2

OpenStream = Callable[[trace_service_pb2.SearchTracesRequest, float], Generator[trace_service_pb2.SearchTracesResponse]]


class SearchStream:
    """An iterator over the hits of one search, which goes on by itself where a connection breaks.

    Used as a context, it cancels the search when the context is left before the last hit.
    """

    def __init__(self, open_stream: OpenStream, progress: SearchProgress) -> None:
        """Takes how to ask for a request's messages within so many seconds; `Client.search_stream` makes one."""
        self._progress = progress
        self._hits = _hits(open_stream, progress)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> trace_service_pb2.SearchHit:
        return next(self._hits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancels the search if it is still under way."""
        self._hits.close()

    @property
    def summary(self) -> trace_service_pb2.SearchSummary:
        """Why no further hit follows. `hit_count` counts all hits, whatever broke in between.

        Raises RuntimeError before the last hit was read.
        """
        if self._progress.summary is None:
            raise RuntimeError("the summary of a search comes after its last hit")
        return self._progress.summary


# A function, not a method: a stream that nobody holds any more must not be kept alive by its own iterator.
def _hits(open_stream: OpenStream, progress: SearchProgress) -> Generator[trace_service_pb2.SearchHit]:
    while True:
        try:
            with closing(open_stream(progress.next_request(), progress.seconds_left)) as responses:
                for response in responses:
                    yield from progress.take(response)
        except CallFailed as failure:
            if progress.summary is not None:
                return
            pause = progress.pause_after(failure)
            if pause is None:
                raise
            sleep(pause)
        else:
            return
