"""The standard health service.

Not the library's, which holds a lock while it writes to whoever watches: one that does not read would keep all others,
and a server that stops, waiting.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from commontrace.rpc.call import Context

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class HealthService(health_pb2_grpc.HealthServicer):
    """Tells the status of each service, and of the whole server under the empty name."""

    def __init__(self) -> None:
        """Starts with a server that serves, and without services."""
        self._statuses: dict[str, int] = {"": SERVING}
        self._changed = asyncio.Event()
        self._is_leaving = self._has_ended = False

    def set(self, service: str, *, is_serving: bool) -> None:
        """Sets the status of a service, unless the server leaves."""
        if not self._is_leaving:
            self._statuses[service] = SERVING if is_serving else NOT_SERVING
            self._tell()

    def leave(self) -> None:
        """Turns every status to NOT_SERVING, for good."""
        self._is_leaving = True
        self._statuses = dict.fromkeys(self._statuses, NOT_SERVING)
        self._tell()

    def end(self) -> None:
        """Ends every watch, when it has been told the last status."""
        self._has_ended = True
        self._tell()

    async def Check(self, request: Any, context: Context) -> Any:  # noqa: N802
        """Tells the status of one service."""
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service: `List` names them")
        return health_pb2.HealthCheckResponse(status=status)

    async def List(self, _request: Any, _context: Context) -> Any:  # noqa: N802
        """Tells the status of every service."""
        statuses = {name: health_pb2.HealthCheckResponse(status=status) for name, status in self._statuses.items()}
        return health_pb2.HealthListResponse(statuses=statuses)  # type: ignore[attr-defined] # newer than its types

    async def Watch(self, request: Any, _context: Context) -> AsyncIterator[Any]:  # noqa: N802
        """Tells the status of one service, and each that follows, though not all to those who read slowly."""
        told = None
        while True:
            changed = self._changed
            status = self._statuses.get(request.service, _UNKNOWN)
            if status != told:
                yield health_pb2.HealthCheckResponse(status=status)
                told = status
            elif self._has_ended:
                return
            else:
                await changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
