"""Violations of the contract by a request, and the errors that report them."""

import dataclasses
from collections.abc import Sequence

from commontrace.domain.errors import CommonTraceError
from commontrace.v1.error_reason_pb2 import ErrorReason


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """An invalid field. `field` is its path, such as `tags[2]`; `message` completes the sentence "`field` ..."."""

    field: str
    reason: ErrorReason.ValueType
    message: str
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)


class InvalidRequest(CommonTraceError):
    """A request that breaks at least one rule of the contract. The first violation is the reason of the error."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        super().__init__(f"{first.field} {first.message}{more}", field=first.field, **first.metadata)
        self.violations = tuple(violations)


class MalformedRequest(CommonTraceError):
    """A request whose bytes are no message of its type, or that did not come."""


class RequestTooLarge(CommonTraceError):
    """A request, or metadata of a call, beyond the limit of bytes."""


class ResponseTooLarge(CommonTraceError):
    """An item that does not fit into the response any more."""
