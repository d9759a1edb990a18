"""Parsing of request messages, with a limit of their size (ADR 0003)."""

from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from commontrace.domain import limits
from commontrace.domain.errors import CommonTraceError
from commontrace.rpc.validation.invalid_request import MalformedRequest, RequestTooLarge

if TYPE_CHECKING:
    from commontrace.rpc.interceptors.base import Handler


def parse(handler: "Handler", request: bytes | CommonTraceError, *, max_bytes: int = limits.REQUEST_BYTES) -> Any:
    """Returns the request message of a handler from its bytes.

    Raises MalformedRequest, RequestTooLarge, and an error that stands for the bytes.
    """
    if isinstance(request, CommonTraceError):
        raise request
    if len(request) > max_bytes:
        raise RequestTooLarge(
            f"the request has {len(request)} bytes; at most {max_bytes} are allowed",
            limit=str(max_bytes),
            actual=str(len(request)),
        )
    assert handler.request_deserializer is not None  # noqa: S101 - generated handlers have one
    try:
        return handler.request_deserializer(request)
    except DecodeError as error:
        raise MalformedRequest(
            "the bytes are not a valid request message: broken encoding, nesting too deep, or text that is not UTF-8"
        ) from error
