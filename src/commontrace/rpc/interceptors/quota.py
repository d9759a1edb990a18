"""Quotas: reads and writes a minute of each user, for all servers of a database together."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from commontrace.core.keys.quotas import Quotas
from commontrace.domain.keys.quotas import READS, WRITES
from commontrace.domain.scopes import Scope
from commontrace.rpc.call import current_caller
from commontrace.rpc.interceptors.base import Handler, PreparingInterceptor


class QuotaInterceptor(PreparingInterceptor):
    """Charges each call to the caller's quota of reads, if its RPC requires the scope to read, else of writes.

    A message of an import costs one write for each item; one without items asks for the progress and costs one read.
    `scopes` has every RPC by its path.
    """

    def __init__(self, quotas: Quotas, scopes: Mapping[str, Scope]) -> None:
        super().__init__()
        self._quotas = quotas
        self._kinds = {path: READS if scope == Scope.TRACES_READ else WRITES for path, scope in scopes.items()}

    async def prepared(self, handler: Handler, method: str, request: Any) -> Any:
        """Returns the request unchanged. Raises QuotaExceeded; for a stream, when the message too many is read."""
        kind = self._kinds[method]
        if handler.request_streaming:
            return self._charge_each(request, current_caller().email, kind)
        await self._quotas.spend(current_caller().email, kind)
        return request

    async def _charge_each(self, requests: AsyncIterator[Any], email: str, kind: str) -> AsyncIterator[Any]:
        async for request in requests:
            if request.items:
                await self._quotas.spend(email, kind, len(request.items))
            else:
                await self._quotas.spend(email, READS)
            yield request
