# Generated from the asynchronous client by `make generate`. Do not edit.
"""Keyset pagination: lists that are fetched page by page."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from commontrace.client.sync.calls import Calls, Response

if TYPE_CHECKING:
    import grpc


class PagedCalls(Calls):
    """Base class of calls that list resources."""

    def _pages(self, method: "grpc.aio.UnaryUnaryMultiCallable[Any, Response]", request: Any) -> Iterator[Response]:
        """Yields all pages, each fetched once the one before has been read."""
        while True:
            page: Any = self._call(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
