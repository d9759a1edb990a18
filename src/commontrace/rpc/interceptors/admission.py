"""No more is begun than can be answered before callers give up. Refusing does no work, least of all on the database."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

from commontrace.core.errors import Overloaded
from commontrace.rpc.call import Context
from commontrace.rpc.interceptors.interceptor import Handler, Interceptor
from commontrace.v1 import options_pb2

# Of the places for calls, the rest is kept from reads: writes still get in where searches are refused.
_SHARE_OF_READS = 0.75
# Streams end when their readers do, not within milliseconds as calls.
_STREAM_RETRY_SECONDS = 5.0


class AdmissionInterceptor(Interceptor):
    """Counts the calls in progress and refuses more: reads first, then writes. Health is not counted.

    Streams that last (`lasting`, by path) have places of their own, each RPC as many: those that wait for news must not
    keep searches away.
    """

    def __init__(
        self,
        scopes: Mapping[str, options_pb2.Scope.ValueType],
        lasting: Collection[str],
        *,
        most_calls: int,
        most_streams: int,
    ) -> None:
        """Takes the scope of every RPC by its path, and how many places there are."""
        super().__init__()
        # By kind: a lasting RPC's path, "read" or "write".
        self._kinds = {
            path: "read" if scope == options_pb2.SCOPE_TRACES_READ else "write" for path, scope in scopes.items()
        }
        self._kinds.update({path: path for path in lasting})
        most_reads = max(1, int(_SHARE_OF_READS * most_calls))
        self._most = {"read": most_reads, "write": most_calls} | dict.fromkeys(lasting, most_streams)
        self._begun: Counter[str] = Counter()

    @asynccontextmanager
    async def around(self, handler: Handler, method: str, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ARG002
        """Yields the request as it is. Raises Overloaded."""
        kind = self._kinds[method]
        self._refuse(kind, context.time_remaining())
        self._begun[kind] += 1
        try:
            yield request
        finally:
            self._begun[kind] -= 1

    def _refuse(self, kind: str, seconds_left: float | None) -> None:
        if kind in ("read", "write"):
            count = self._begun["read"] + self._begun["write"]
            if count >= self._most[kind]:
                raise Overloaded(f"{count} calls are in progress, and a further {kind} would not be answered in time")
        elif self._begun[kind] >= self._most[kind]:
            raise Overloaded(
                f"{self._begun[kind]} such streams are open, as many as this server serves",
                retry_after=_STREAM_RETRY_SECONDS,
            )
        # gRPC begins late what came with many others: whoever waited for it has been told already.
        if seconds_left is not None and seconds_left <= 0:
            raise Overloaded("the call has waited for its turn until its deadline")
