"""Streaming search: an iterator over hits as they arrive."""

from typing import Self

from commontrace.client.aio.resumable_stream import OpenStream, resume_stream
from commontrace.client.streams.search_progress import SearchProgress
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

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> trace_service_pb2.SearchHit:
        return await anext(self._hits)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancels the search if it is still in progress."""
        await self._hits.aclose()

    @property
    def summary(self) -> trace_service_pb2.SearchSummary:
        """The summary with the stop reason; `hit_count` counts the hits of all streams.

        Raises RuntimeError before the last hit was read.
        """
        if self._progress.summary is None:
            raise RuntimeError("the summary of a search comes after its last hit")
        return self._progress.summary
