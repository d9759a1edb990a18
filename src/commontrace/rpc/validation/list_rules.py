"""Validation of batches and lists."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from google.protobuf.message import Message

from commontrace.domain import limits
from commontrace.rpc.paging.page_tokens import BY_REVISION, NEWEST_FIRST
from commontrace.rpc.validation import field_rules as rules
from commontrace.rpc.validation.filter_rules import trace_filter
from commontrace.rpc.validation.invalid_request import Violation
from commontrace.v1 import error_reason_pb2 as reasons
from commontrace.v1 import trace_pb2, trace_service_pb2


def batch_get_traces(request: trace_service_pb2.BatchGetTracesRequest) -> Iterator[Violation]:
    """Yields the violations of a batch of ids."""
    if not request.trace_ids:
        yield Violation(field="trace_ids", reason=reasons.ERROR_REASON_FIELD_REQUIRED, message="names no trace")
    yield from rules.not_longer("trace_ids", len(request.trace_ids), limits.BATCH_GET_TRACES, "ids")
    for position, trace_id in enumerate(request.trace_ids[: limits.BATCH_GET_TRACES]):
        yield from rules.identifier(f"trace_ids[{position}]", trace_id)
    yield from rules.known_enum("view", request.view, trace_pb2.TraceView)


def list_traces(request: trace_service_pb2.ListTracesRequest) -> Iterator[Violation]:
    """Yields the violations of a request for a list of traces."""
    yield from trace_filter(request.filter)
    yield from rules.known_enum("view", request.view, trace_pb2.TraceView)
    yield from rules.page_size(request.page_size)
    yield from NEWEST_FIRST.violations(request)


def list_trace_revisions(request: trace_service_pb2.ListTraceRevisionsRequest) -> Iterator[Violation]:
    """Yields the violations of a request for the revisions of a trace."""
    yield from rules.identifier("trace_id", request.trace_id)
    yield from rules.known_enum("view", request.view, trace_pb2.TraceView)
    yield from rules.page_size(request.page_size)
    yield from BY_REVISION.violations(request)


RULES: dict[type[Message], Callable[[Any], Iterable[Violation]]] = {
    trace_service_pb2.BatchGetTracesRequest: batch_get_traces,
    trace_service_pb2.ListTracesRequest: list_traces,
    trace_service_pb2.ListTraceRevisionsRequest: list_trace_revisions,
}
"""The rules of BatchGetTraces and of the lists of TraceService, by request type."""
