"""Validation of exports."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from google.protobuf.message import Message

from commontrace.domain import limits
from commontrace.rpc.paging.page_tokens import OLDEST_FIRST
from commontrace.rpc.validation import field_rules as rules
from commontrace.rpc.validation.filter_rules import trace_filter
from commontrace.rpc.validation.invalid_request import Violation
from commontrace.v1 import trace_export_pb2


def export_traces(request: trace_export_pb2.ExportTracesRequest) -> Iterator[Violation]:
    """Yields the violations of an export request."""
    yield from trace_filter(request.filter)
    yield from rules.within("batch_size", request.batch_size, 0, limits.EXPORT_TRACES)
    yield from OLDEST_FIRST.violations(request)


RULES: dict[type[Message], Callable[[Any], Iterable[Violation]]] = {
    trace_export_pb2.ExportTracesRequest: export_traces,
}
"""The rule of ExportTraces, by request type."""
