"""Errors of calls, with the details of their gRPC status."""

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
    """A call that failed: base class of all errors of calls.

    `code` is the gRPC status code. `reason` is a name of the contract's ErrorReason, empty if the failure did not come
    from CommonTrace (no server, an exceeded deadline). `metadata` holds the keys that the contract lists for the
    reason. `violations` maps invalid fields to their problems. `retry_after` is the number of seconds after which the
    server expects a retry to succeed, None if it names none.
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
        """Returns the error for a gRPC error of a call to `address` with a `deadline` in seconds."""
        call = cast("grpc.Call", error)
        code, text = call.code(), call.details() or ""
        info, bad_request, retry = (
            error_details_pb2.ErrorInfo(),
            error_details_pb2.BadRequest(),
            error_details_pb2.RetryInfo(),
        )
        for detail in _details(call):
            # Does nothing for a detail of another type.
            detail.Unpack(info)
            detail.Unpack(bad_request)
            detail.Unpack(retry)
        where = f"{address}{proxy_hint(address)}"
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            text = f"no answer from {where}" + ("" if deadline is None else f" within {deadline:g} s")
        elif code is grpc.StatusCode.UNAVAILABLE and not info.reason:
            if tls_failure := tls_failures.explain_tls_failure(text, uses_tls=uses_tls):
                explanation, is_certain = tls_failure
                return TlsFailed(f"the server on {where} {explanation}", code=code, is_certain=is_certain)
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
    """A request is invalid by itself: a field is missing, malformed or outside its limits (see `violations`)."""


class NotFound(CallFailed):
    """A trace, vote, tag, namespace or user does not exist, was deleted, or may not be read by the caller."""


class AlreadyExists(CallFailed):
    """A resource exists already: a duplicate, a successor, a namespace, another request under a request id."""


class PermissionDenied(CallFailed):
    """The caller lacks the permission, for example to edit another user's trace, or a role in a namespace."""


class Unauthenticated(CallFailed):
    """The server rejects the caller's credentials, or asks for them."""


class FailedPrecondition(CallFailed):
    """The stored state forbids the call, for example a vote on one's own trace, or a namespace that is not empty."""


class Aborted(CallFailed):
    """A precondition is outdated, such as an etag: read again and decide again before a retry."""


class ResourceExhausted(CallFailed):
    """A quota or a limit is exhausted: connections, calls, the size of a message, or the number of namespaces."""


class Unavailable(CallFailed):
    """No server answers, or it cannot work at the moment: a later retry may succeed."""


class TlsFailed(Unavailable):
    """The TLS handshake failed, which no retry mends if `is_certain`.

    `is_certain` is False where the server only closed the connection, which can have other causes.
    """

    def __init__(self, message: str, *, code: grpc.StatusCode, is_certain: bool) -> None:
        super().__init__(message, code=code)
        self.is_certain = is_certain


class DeadlineExceeded(CallFailed):
    """No answer arrived within the deadline. A write may have been executed: retry it under the same request id."""


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
        # A proxy may answer in the server's place, with details that contradict its status.
        return []
    return [] if status is None else list(status.details)
