"""Validation of watches."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from google.protobuf.message import Message

from commontrace.domain import limits
from commontrace.rpc.paging.page_tokens import BY_SEQUENCE
from commontrace.rpc.validation import field_rules as rules
from commontrace.rpc.validation.invalid_request import Violation
from commontrace.v1 import error_reason_pb2 as reasons
from commontrace.v1 import trace_event_pb2


def watch_traces(request: trace_event_pb2.WatchTracesRequest) -> Iterator[Violation]:
    """Yields the violations of a watch: of its filter, which has namespaces alone, and of its resume token."""
    for field, _ in request.filter.ListFields():
        if field.name != "namespaces":
            yield Violation(
                field=f"filter.{field.name}",
                reason=reasons.ERROR_REASON_FIELD_NOT_ALLOWED,
                message="is not allowed here: a watch filters by namespaces alone",
            )
    yield from rules.namespaces("filter.namespaces", request.filter.namespaces, limits.FILTER_VALUES)
    yield from BY_SEQUENCE.violations(request)


RULES: dict[type[Message], Callable[[Any], Iterable[Violation]]] = {trace_event_pb2.WatchTracesRequest: watch_traces}
