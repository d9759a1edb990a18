# Generated from the asynchronous client by `make generate`. Do not edit.
"""Streaming search: an iterator over hits as they arrive."""

from typing import Self

from commontrace.client.streams.search_progress import SearchProgress
from commontrace.client.sync.resumable_stream import OpenStream, resume_stream
from commontrace.v1 import trace_service_pb2


class SearchStream:
    """An iterator over the hits of one search, which resumes by itself after a broken connection.

    `Client.search_stream` makes one. As a context manager, it cancels a search whose last hit was not read.
    """

    def __init__(
        self,
        open_stream: OpenStream[trace_service_pb2.SearchTracesRequest, trace_service_pb2.SearchTracesResponse],
        progress: SearchProgress,
    ) -> None:
        self._progress = progress
        # Not a generator method, whose reference to the stream would keep that alive after its last user.
        self._hits = resume_stream(open_stream, progress)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> trace_service_pb2.SearchHit:
        return next(self._hits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancels the search if it is still in progress."""
        self._hits.close()

    @property
    def summary(self) -> trace_service_pb2.SearchSummary:
        """The summary with the stop reason; `hit_count` counts the hits of all streams.

        Raises RuntimeError before the last hit was read.
        """
        if self._progress.summary is None:
            raise RuntimeError("the summary of a search comes after its last hit")
        return self._progress.summary
