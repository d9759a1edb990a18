"""Guard of writes into a namespace: an older server ignores the field, and would store where everybody reads."""

import grpc

from commontrace.client.aio.calls import Calls
from commontrace.client.errors import CallFailed, FailedPrecondition
from commontrace.v1 import namespace_service_pb2

_COMMONS = "commons"
"""The namespace that stands for what an older server has."""

# What a server that knows namespaces answers about one that the caller cannot read.
_ANSWERS = {"INVALID_NAMESPACE", "NAMESPACE_NOT_FOUND", "SCOPE_MISSING"}


class NamespaceGuard(Calls):
    """Base class of calls that store in a namespace."""

    async def _require_namespaces(self, name: str) -> None:
        """Asks the server, before a client's first write into a namespace that is not `commons`, whether it knows any.

        Raises FailedPrecondition for an older server.
        """
        state = self._options.server_state
        if state.knows_namespaces or name in ("", _COMMONS):
            return
        try:
            await self._call(self._namespaces.GetNamespace, namespace_service_pb2.GetNamespaceRequest(name=name))
        except CallFailed as failure:
            if failure.code is grpc.StatusCode.UNIMPLEMENTED:
                message = f"the server on {self._options.address} is too old for namespaces: nothing was stored"
                raise FailedPrecondition(message, code=grpc.StatusCode.FAILED_PRECONDITION) from failure
            if failure.reason not in _ANSWERS:
                raise
        state.knows_namespaces = True
