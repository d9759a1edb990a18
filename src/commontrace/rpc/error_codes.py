"""Error mapping: the one table from exceptions to gRPC codes, reasons and error details."""

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from commontrace.domain import errors
from commontrace.embeddings.embedder import EmbedderUnavailable
from commontrace.rpc.validation.invalid_request import (
    InvalidRequest,
    MalformedRequest,
    RequestTooLarge,
    ResponseTooLarge,
)
from commontrace.v1 import error_reason_pb2
from commontrace.v1.error_reason_pb2 import ErrorReason

DOMAIN = "commontrace"
_PREFIX = "ERROR_REASON_"

Code = grpc.StatusCode

# The entry of the nearest base class counts.
_TABLE: dict[type[BaseException], tuple[grpc.StatusCode, ErrorReason.ValueType]] = {
    # gRPC itself ends calls with this code, so it has no reason of the contract.
    errors.DeadlinePassed: (Code.DEADLINE_EXCEEDED, error_reason_pb2.ERROR_REASON_UNSPECIFIED),
    MalformedRequest: (Code.INVALID_ARGUMENT, error_reason_pb2.ERROR_REASON_MALFORMED_REQUEST),
    errors.InvalidTag: (Code.INVALID_ARGUMENT, error_reason_pb2.ERROR_REASON_INVALID_TAG),
    errors.InvalidUser: (Code.UNAUTHENTICATED, error_reason_pb2.ERROR_REASON_INVALID_USER),
    errors.KeyRequired: (Code.UNAUTHENTICATED, error_reason_pb2.ERROR_REASON_KEY_REQUIRED),
    errors.InvalidKey: (Code.UNAUTHENTICATED, error_reason_pb2.ERROR_REASON_INVALID_KEY),
    errors.ScopeMissing: (Code.PERMISSION_DENIED, error_reason_pb2.ERROR_REASON_SCOPE_MISSING),
    errors.NamespaceNotFound: (Code.NOT_FOUND, error_reason_pb2.ERROR_REASON_NAMESPACE_NOT_FOUND),
    errors.NamespaceForbidden: (Code.PERMISSION_DENIED, error_reason_pb2.ERROR_REASON_NAMESPACE_FORBIDDEN),
    errors.NamespaceRequired: (Code.INVALID_ARGUMENT, error_reason_pb2.ERROR_REASON_FIELD_REQUIRED),
    errors.NamespaceExists: (Code.ALREADY_EXISTS, error_reason_pb2.ERROR_REASON_NAMESPACE_EXISTS),
    errors.NamespaceNotEmpty: (Code.FAILED_PRECONDITION, error_reason_pb2.ERROR_REASON_NAMESPACE_NOT_EMPTY),
    errors.NamespaceStays: (Code.INVALID_ARGUMENT, error_reason_pb2.ERROR_REASON_FIELD_NOT_ALLOWED),
    errors.NamespacesDisabled: (Code.FAILED_PRECONDITION, error_reason_pb2.ERROR_REASON_NAMESPACES_DISABLED),
    errors.SameNamespace: (Code.INVALID_ARGUMENT, error_reason_pb2.ERROR_REASON_FIELD_NOT_ALLOWED),
    errors.StaleNamespaceEtag: (Code.ABORTED, error_reason_pb2.ERROR_REASON_STALE_ETAG),
    errors.TooManyNamespaces: (Code.RESOURCE_EXHAUSTED, error_reason_pb2.ERROR_REASON_TOO_MANY_NAMESPACES),
    errors.TooManyMembers: (Code.RESOURCE_EXHAUSTED, error_reason_pb2.ERROR_REASON_TOO_MANY_MEMBERS),
    errors.LastOwner: (Code.FAILED_PRECONDITION, error_reason_pb2.ERROR_REASON_LAST_OWNER),
    errors.MemberNotFound: (Code.NOT_FOUND, error_reason_pb2.ERROR_REASON_MEMBER_NOT_FOUND),
    errors.UserNotFound: (Code.NOT_FOUND, error_reason_pb2.ERROR_REASON_USER_NOT_FOUND),
    errors.UserReserved: (Code.PERMISSION_DENIED, error_reason_pb2.ERROR_REASON_USER_RESERVED),
    errors.TraceNotFound: (Code.NOT_FOUND, error_reason_pb2.ERROR_REASON_TRACE_NOT_FOUND),
    errors.NotOwner: (Code.PERMISSION_DENIED, error_reason_pb2.ERROR_REASON_NOT_OWNER),
    errors.OwnTrace: (Code.FAILED_PRECONDITION, error_reason_pb2.ERROR_REASON_OWN_TRACE),
    errors.RevisionNotCurrent: (Code.ABORTED, error_reason_pb2.ERROR_REASON_REVISION_NOT_CURRENT),
    errors.VoteNotFound: (Code.NOT_FOUND, error_reason_pb2.ERROR_REASON_VOTE_NOT_FOUND),
    errors.TagNotFound: (Code.NOT_FOUND, error_reason_pb2.ERROR_REASON_TAG_NOT_FOUND),
    errors.StaleEtag: (Code.ABORTED, error_reason_pb2.ERROR_REASON_STALE_ETAG),
    errors.DuplicateTrace: (Code.ALREADY_EXISTS, error_reason_pb2.ERROR_REASON_DUPLICATE_TRACE),
    errors.AlreadySuperseded: (Code.ALREADY_EXISTS, error_reason_pb2.ERROR_REASON_ALREADY_SUPERSEDED),
    errors.TraceNotEncoded: (Code.FAILED_PRECONDITION, error_reason_pb2.ERROR_REASON_TRACE_NOT_ENCODED),
    errors.NotCalibrated: (Code.FAILED_PRECONDITION, error_reason_pb2.ERROR_REASON_NOT_CALIBRATED),
    errors.WatchTokenOutOfRange: (Code.OUT_OF_RANGE, error_reason_pb2.ERROR_REASON_WATCH_TOKEN_OUT_OF_RANGE),
    errors.TraceIdTaken: (Code.ALREADY_EXISTS, error_reason_pb2.ERROR_REASON_TRACE_ID_TAKEN),
    errors.TracePurged: (Code.FAILED_PRECONDITION, error_reason_pb2.ERROR_REASON_TRACE_PURGED),
    errors.TraceHidden: (Code.FAILED_PRECONDITION, error_reason_pb2.ERROR_REASON_TRACE_HIDDEN),
    errors.AnswerErased: (Code.NOT_FOUND, error_reason_pb2.ERROR_REASON_ANSWER_ERASED),
    errors.ServerStopping: (Code.UNAVAILABLE, error_reason_pb2.ERROR_REASON_SERVER_STOPPING),
    errors.RequestIdReused: (Code.ALREADY_EXISTS, error_reason_pb2.ERROR_REASON_REQUEST_ID_REUSED),
    ResponseTooLarge: (Code.RESOURCE_EXHAUSTED, error_reason_pb2.ERROR_REASON_RESPONSE_TOO_LARGE),
    RequestTooLarge: (Code.RESOURCE_EXHAUSTED, error_reason_pb2.ERROR_REASON_REQUEST_TOO_LARGE),
    errors.QuotaExceeded: (Code.RESOURCE_EXHAUSTED, error_reason_pb2.ERROR_REASON_QUOTA_EXCEEDED),
    errors.Overloaded: (Code.RESOURCE_EXHAUSTED, error_reason_pb2.ERROR_REASON_OVERLOADED),
    errors.DatabaseUnavailable: (Code.UNAVAILABLE, error_reason_pb2.ERROR_REASON_DATABASE_UNAVAILABLE),
    # Seen by callers only where the record of the model is broken: a write that meets it is prepared anew.
    errors.ModelReplaced: (Code.UNAVAILABLE, error_reason_pb2.ERROR_REASON_DATABASE_UNAVAILABLE),
    EmbedderUnavailable: (Code.UNAVAILABLE, error_reason_pb2.ERROR_REASON_EMBEDDER_UNAVAILABLE),
    Exception: (Code.INTERNAL, error_reason_pb2.ERROR_REASON_INTERNAL),
}

# Retryable reasons, and the seconds after which to retry unless the exception has its own.
_RETRY_AFTER: dict[ErrorReason.ValueType, float] = {
    error_reason_pb2.ERROR_REASON_QUOTA_EXCEEDED: 60.0,
    error_reason_pb2.ERROR_REASON_OVERLOADED: 0.2,
    error_reason_pb2.ERROR_REASON_DATABASE_UNAVAILABLE: 0.5,
    error_reason_pb2.ERROR_REASON_EMBEDDER_UNAVAILABLE: 0.5,
    error_reason_pb2.ERROR_REASON_SERVER_STOPPING: 0.5,
}

# Clients and proxies refuse trailers beyond 8 KB.
_TEXT_BYTES = 1024
_VIOLATIONS = 20
_VIOLATIONS_BYTES = 3072


def code_and_reason(error: Exception) -> tuple[grpc.StatusCode, ErrorReason.ValueType]:
    """Returns the gRPC code and the reason of any exception."""
    if isinstance(error, InvalidRequest):
        return Code.INVALID_ARGUMENT, error.violations[0].reason
    return next(_TABLE[ancestor] for ancestor in type(error).__mro__ if ancestor in _TABLE)


def reason_name(reason: ErrorReason.ValueType) -> str:
    """Returns the reason as ErrorInfo spells it; "" for none."""
    return "" if reason == error_reason_pb2.ERROR_REASON_UNSPECIFIED else ErrorReason.Name(reason).removeprefix(_PREFIX)


def status_of(error: Exception, *, call_id: str) -> grpc.Status:
    """Returns the status to abort the call with. An unknown exception shows the call id alone: the log has the rest."""
    code, reason = code_and_reason(error)
    name = reason_name(reason)
    if code is Code.INTERNAL:
        text, metadata = "the server failed; its log has the details", {"call_id": call_id}
    else:
        text, metadata = str(error), dict(getattr(error, "metadata", {}))
    if not name:
        return rpc_status.to_status(status_pb2.Status(code=code_pb2.Code.Value(code.name), message=text))
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=name, domain=DOMAIN, metadata=metadata)]
    if isinstance(error, InvalidRequest):
        details.append(_bad_request(error))
    elif code is Code.INVALID_ARGUMENT and "field" in metadata:
        details.append(_bad_field(metadata["field"], text, name))
    if isinstance(error, errors.QuotaExceeded):
        details.append(_quota_failure(error, text))
    if reason in _RETRY_AFTER:
        delay = Duration()
        seconds = getattr(error, "retry_after", None) or _RETRY_AFTER[reason]
        delay.FromNanoseconds(round(seconds * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    message = f"{name}: {text}".encode()[:_TEXT_BYTES].decode(errors="ignore")
    status = status_pb2.Status(code=code_pb2.Code.Value(code.name), message=message, details=map(_packed, details))
    return rpc_status.to_status(status)


def _bad_request(error: InvalidRequest) -> error_details_pb2.BadRequest:
    bad_request = error_details_pb2.BadRequest()
    for violation in error.violations[:_VIOLATIONS]:
        named = error_details_pb2.BadRequest.FieldViolation(
            field=violation.field, description=violation.message, reason=reason_name(violation.reason)
        )
        if bad_request.ByteSize() + named.ByteSize() > _VIOLATIONS_BYTES:
            break
        bad_request.field_violations.append(named)
    return bad_request


def _bad_field(field: str, text: str, reason: str) -> error_details_pb2.BadRequest:
    violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=text, reason=reason)
    return error_details_pb2.BadRequest(field_violations=[violation])


def _quota_failure(error: errors.QuotaExceeded, text: str) -> error_details_pb2.QuotaFailure:
    violation = error_details_pb2.QuotaFailure.Violation(
        subject=f"user:{error.email}",
        description=text,
        quota_metric=f"commontrace/{error.kind}",
        quota_id=f"{error.kind}-per-{error.per}",
        quota_value=error.limit,
    )
    return error_details_pb2.QuotaFailure(violations=[violation])


def _packed(message: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed
