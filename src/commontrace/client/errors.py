"""What a failed call says, taken from the details of its status."""

from collections.abc import Mapping
from typing import cast

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from commontrace.client import tls_failures
from commontrace.client.proxies import proxy_hint


class CallFailed(Exception):
    """A call that the server refused or could not answer.

    `reason` is a name of the contract's ErrorReason, empty if the failure did not come from CommonTrace (nobody
    listens, the deadline passed). `metadata` holds the facts that the contract lists for the reason. `violations` maps
    the fields at fault to what is wrong with them. `retry_after` is after how many seconds the server expects a
    repeated call to succeed, None if it says nothing about that.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Takes the status's parts."""
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.violations = dict(violations or {})
        self.retry_after = retry_after

    @staticmethod
    def from_rpc_error(
        error: grpc.RpcError,
        *,
        address: str = "the server",
        deadline: float | None = None,
        uses_tls: bool = False,
    ) -> "CallFailed":
        """Reads the details of a failed call to `address` that was to take `deadline` seconds at most."""
        call = cast("grpc.Call", error)
        code, text = call.code(), call.details() or ""
        info, bad_request, retry = (
            error_details_pb2.ErrorInfo(),
            error_details_pb2.BadRequest(),
            error_details_pb2.RetryInfo(),
        )
        for detail in _details(call):
            # Each unpacks what is of its own type.
            detail.Unpack(info)
            detail.Unpack(bad_request)
            detail.Unpack(retry)
        where = f"{address}{proxy_hint(address)}"
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            text = f"no answer from {where}" + ("" if deadline is None else f" within {deadline:g} s")
        elif code is grpc.StatusCode.UNAVAILABLE and not info.reason:
            if about_tls := tls_failures.explanation(text, uses_tls=uses_tls):
                meaning, is_certain = about_tls
                return TlsFailed(f"the server on {where} {meaning}", code=code, is_certain=is_certain)
            text = f"no CommonTrace server answers on {where}: {text}"
        return _BY_CODE.get(code, CallFailed)(
            text or code.name,
            code=code,
            reason=info.reason,
            metadata=info.metadata,
            violations={violation.field: violation.description for violation in bad_request.field_violations},
            retry_after=retry.retry_delay.ToNanoseconds() / 1e9 if retry.HasField("retry_delay") else None,
        )


class InvalidArgument(CallFailed):
    """A field is missing, malformed or outside its limits, whatever is stored: see `violations`."""


class NotFound(CallFailed):
    """There is no such trace, vote or tag, or it was deleted."""


class AlreadyExists(CallFailed):
    """What would be made is there already: a duplicate, a successor, or another request under the same request id."""


class PermissionDenied(CallFailed):
    """The caller may not do this, for example edit a trace of somebody else."""


class Unauthenticated(CallFailed):
    """The server does not accept what the caller says about who it is."""


class FailedPrecondition(CallFailed):
    """The state of what is stored forbids it, for example to vote on one's own trace."""


class Aborted(CallFailed):
    """What the call relies on has changed since it was read: read again, decide again."""


class ResourceExhausted(CallFailed):
    """Something is used up or too large: connections, or the bytes of a message."""


class Unavailable(CallFailed):
    """No server answers, or the one that does cannot work now; repeating the call later helps."""


class TlsFailed(Unavailable):
    """A server is there, but the two sides do not agree on TLS: repeating the call does not help where it is certain.

    `is_certain` is False where the server has just closed the connection, for which there may be another cause.
    """

    def __init__(self, message: str, *, code: grpc.StatusCode, is_certain: bool) -> None:
        """Takes what is wrong."""
        super().__init__(message, code=code)
        self.is_certain = is_certain


class DeadlineExceeded(CallFailed):
    """The answer did not come in time. A write may have been carried out: repeat it under the same request id."""


_BY_CODE: dict[grpc.StatusCode, type[CallFailed]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.ABORTED: Aborted,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


def _details(call: grpc.Call) -> list[AnyMessage]:
    try:
        status = rpc_status.from_call(call)
    except (DecodeError, ValueError):
        # Whoever stands between may answer in the server's place, with details that do not fit.
        return []
    return [] if status is None else list(status.details)
