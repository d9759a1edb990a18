"""From bytes to requests."""

from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from commontrace.domain import limits
from commontrace.domain.errors import CommonTraceError
from commontrace.rpc.validation.invalid_request import MalformedRequest, RequestTooLarge

if TYPE_CHECKING:
    from commontrace.rpc.interceptors.base import Handler


def parsed(handler: "Handler", request: bytes | CommonTraceError, *, most: int = limits.REQUEST_BYTES) -> Any:
    """Returns the request of at most so many bytes that a handler expects, from its bytes or why there are none.

    Raises the latter, MalformedRequest, RequestTooLarge.
    """
    if isinstance(request, CommonTraceError):
        raise request
    if len(request) > most:
        raise RequestTooLarge(
            f"the request has {len(request)} bytes; at most {most} are allowed",
            limit=str(most),
            actual=str(len(request)),
        )
    assert handler.request_deserializer is not None  # noqa: S101 - generated handlers have one
    try:
        return handler.request_deserializer(request)
    except DecodeError as error:
        raise MalformedRequest(
            "the bytes are not a valid request message: broken encoding, nesting too deep, or text that is not UTF-8"
        ) from error
