# Generated from the asynchronous client by `make generate`. Do not edit.
"""The hits of a search, as they arrive."""

from typing import Self

from commontrace.client.streams.search_progress import SearchProgress
from commontrace.client.sync.resumable_stream import OpenStream, items
from commontrace.v1 import trace_service_pb2


class SearchStream:
    """An iterator over the hits of one search, which goes on by itself where a connection breaks.

    Used as a context, it cancels the search when the context is left before the last hit.
    """

    def __init__(
        self,
        open_stream: OpenStream[trace_service_pb2.SearchTracesRequest, trace_service_pb2.SearchTracesResponse],
        progress: SearchProgress,
    ) -> None:
        """Takes how to ask for a request's messages; `Client.search_stream` makes one."""
        self._progress = progress
        # Not of a method: a stream that nobody holds any more must not be kept alive by its own iterator.
        self._hits = items(open_stream, progress)

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
