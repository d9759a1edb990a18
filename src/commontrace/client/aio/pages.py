"""Keyset pagination: lists that are fetched page by page."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from commontrace.client.aio.calls import Calls, Response

if TYPE_CHECKING:
    import grpc


class PagedCalls(Calls):
    """Base class of calls that list resources."""

    async def _pages(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[Any, Response]", request: Any
    ) -> AsyncIterator[Response]:
        """Yields all pages, each fetched once the one before has been read."""
        while True:
            page: Any = await self._call(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
