"""Limit of call metadata, refused with a reason (ADR 0003)."""

from typing import Any

from commontrace.domain import limits
from commontrace.rpc.call import Context
from commontrace.rpc.interceptors.base import CheckingInterceptor, Handler
from commontrace.rpc.validation.invalid_request import RequestTooLarge

# The overhead of each pair beside its name and value, by RFC 9113, 6.5.2.
_PAIR_BYTES = 32


class MetadataSizeInterceptor(CheckingInterceptor):
    """Refuses calls, of every service, whose metadata exceed the limit.

    The limit of the transport is twice as high, since what it refuses carries no reason.
    """

    def is_for(self, method: str) -> bool:  # noqa: ARG002 - alike for all
        """Returns True: every method is wrapped."""
        return True

    def checked(self, handler: Handler, request: Any, context: Context) -> Any:  # noqa: ARG002
        """Returns the request unchanged. Raises RequestTooLarge."""
        size = sum(len(name) + len(value) + _PAIR_BYTES for name, value in context.invocation_metadata() or ())
        if size > limits.CALL_METADATA_BYTES:
            raise RequestTooLarge(
                f"the metadata have {size} bytes, {_PAIR_BYTES} more for each than its name and value;"
                f" at most {limits.CALL_METADATA_BYTES} are allowed: send fewer or shorter headers",
                limit=str(limits.CALL_METADATA_BYTES),
                actual=str(size),
            )
        return request
