"""Whoever has used up a minute's quota is refused until the next."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from commontrace.core.keys.quotas import Quotas
from commontrace.domain.keys.quotas import READS, WRITES
from commontrace.domain.scopes import Scope
from commontrace.rpc.call import Context, current_caller
from commontrace.rpc.interceptors.base import Handler, Interceptor


class QuotaInterceptor(Interceptor):
    """Takes one from the caller's quota for each call: of reads for those that need the scope to read, else of writes.

    Of an import, it takes one for each item, and a read for a message without any, which asks how far the import is.
    """

    def __init__(self, quotas: Quotas, scopes: Mapping[str, Scope]) -> None:
        """Takes where to count, and the scope of every RPC by its path."""
        super().__init__()
        self._quotas = quotas
        self._kinds = {path: READS if scope == Scope.TRACES_READ else WRITES for path, scope in scopes.items()}

    @asynccontextmanager
    async def around(self, handler: Handler, method: str, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ARG002
        """Yields the request as it is. Raises QuotaExceeded, for a stream when the message too many is read."""
        kind = self._kinds[method]
        if handler.request_streaming:
            yield self._each_paid(request, current_caller().email, kind)
        else:
            await self._quotas.spend(current_caller().email, kind)
            yield request

    async def _each_paid(self, requests: AsyncIterator[Any], email: str, kind: str) -> AsyncIterator[Any]:
        async for request in requests:
            if request.items:
                await self._quotas.spend(email, kind, len(request.items))
            else:
                await self._quotas.spend(email, READS)
            yield request
