"""What a failed call says, taken from the details of its status."""

from collections.abc import Mapping
from typing import Self, cast

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


class CallFailed(Exception):
    """A call that the server refused or could not answer.

    `reason` is a name of the contract's ErrorReason, empty if the failure did not come from CommonTrace (nobody
    listens, the deadline passed). `violations` maps the fields at fault to what is wrong with them.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Mapping[str, str] | None = None,
    ) -> None:
        """Takes the status's parts."""
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.violations = dict(violations or {})

    @classmethod
    def from_rpc_error(cls, error: grpc.aio.AioRpcError) -> Self:
        """Reads the details of a failed call."""
        info = error_details_pb2.ErrorInfo()
        bad_request = error_details_pb2.BadRequest()
        status = rpc_status.from_call(cast("grpc.Call", error))
        for detail in status.details if status is not None else ():
            detail.Unpack(info)
            detail.Unpack(bad_request)
        return cls(
            error.details() or error.code().name,
            code=error.code(),
            reason=info.reason,
            metadata=info.metadata,
            violations={violation.field: violation.description for violation in bad_request.field_violations},
        )
