"""The gRPC health service (grpc.health.v1).

The library's own holds a lock while it writes to a watcher: one that does not read would block all others, and the
shutdown of the server.
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
    """Reports the status of each service, and of the whole server under the empty name."""

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {"": SERVING}
        self._changed = asyncio.Event()
        self._is_shutting_down = self._watches_end = False

    def set(self, service: str, *, is_serving: bool) -> None:
        """Sets the status of a service, unless the server shuts down."""
        if not self._is_shutting_down:
            self._statuses[service] = SERVING if is_serving else NOT_SERVING
            self._notify()

    def enter_graceful_shutdown(self) -> None:
        """Sets every status to NOT_SERVING, for good, as the method of this name in the library does."""
        self._is_shutting_down = True
        self._statuses = dict.fromkeys(self._statuses, NOT_SERVING)
        self._notify()

    def end_watches(self) -> None:
        """Ends every watch once it has sent the last status."""
        self._watches_end = True
        self._notify()

    async def Check(self, request: Any, context: Context) -> Any:  # noqa: N802
        """Returns the status of one service."""
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service: `List` names them")
        return health_pb2.HealthCheckResponse(status=status)

    async def List(self, _request: Any, _context: Context) -> Any:  # noqa: N802
        """Returns the status of every service."""
        statuses = {name: health_pb2.HealthCheckResponse(status=status) for name, status in self._statuses.items()}
        return health_pb2.HealthListResponse(statuses=statuses)  # type: ignore[attr-defined] # newer than its types

    async def Watch(self, request: Any, _context: Context) -> AsyncIterator[Any]:  # noqa: N802
        """Streams the status of one service and its changes; slow readers miss what changes in between."""
        sent = None
        while True:
            changed = self._changed
            status = self._statuses.get(request.service, _UNKNOWN)
            if status != sent:
                yield health_pb2.HealthCheckResponse(status=status)
                sent = status
            elif self._watches_end:
                return
            else:
                await changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
