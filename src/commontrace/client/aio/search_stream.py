"""The hits of a search, as they arrive."""

from typing import Self

from commontrace.client.aio.resumable_stream import OpenStream, items
from commontrace.client.streams.search_progress import SearchProgress
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

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> trace_service_pb2.SearchHit:
        return await anext(self._hits)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancels the search if it is still under way."""
        await self._hits.aclose()

    @property
    def summary(self) -> trace_service_pb2.SearchSummary:
        """Why no further hit follows. `hit_count` counts all hits, whatever broke in between.

        Raises RuntimeError before the last hit was read.
        """
        if self._progress.summary is None:
            raise RuntimeError("the summary of a search comes after its last hit")
        return self._progress.summary
