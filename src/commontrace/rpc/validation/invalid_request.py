"""What is wrong with a request, field by field."""

import dataclasses
from collections.abc import Sequence

from commontrace.domain.errors import CommonTraceError
from commontrace.v1.error_reason_pb2 import ErrorReason


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """One field at fault. `field` is its path, such as `tags[2]`; `message` completes the sentence "`field` ..."."""

    field: str
    reason: ErrorReason.ValueType
    message: str
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)


class InvalidRequest(CommonTraceError):
    """A request broke at least one rule of the contract."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        """Takes every violation found; the first names the failure."""
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        super().__init__(f"{first.field} {first.message}{more}", field=first.field, **first.metadata)
        self.violations = tuple(violations)


class MalformedRequest(CommonTraceError):
    """The bytes are not a message of the request's type."""


class RequestTooLarge(CommonTraceError):
    """The request, or the metadata of its call, has more bytes than it may have."""


class ResponseTooLarge(CommonTraceError):
    """An item no longer fits into the response."""
