"""Validation of contributions, reads and edits of traces."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from google.protobuf.message import Message

from commontrace.core.traces import update as trace_update
from commontrace.domain import limits
from commontrace.domain.traces import contribution as traces
from commontrace.rpc.validation import field_rules as rules
from commontrace.rpc.validation import stored_text_rules as stored
from commontrace.rpc.validation.invalid_request import Violation
from commontrace.v1 import trace_pb2, trace_record_pb2, trace_service_pb2

OfOneTrace = (
    trace_service_pb2.DeleteTraceRequest
    | trace_service_pb2.UndeleteTraceRequest
    | trace_service_pb2.HideTraceRequest
    | trace_service_pb2.UnhideTraceRequest
    | trace_service_pb2.PurgeTraceRequest
    | trace_service_pb2.PromoteTraceRequest
)

_TEXTS = {
    "title": limits.TITLE_CHARACTERS,
    "context": limits.CONTEXT_CHARACTERS,
    "solution": limits.SOLUTION_CHARACTERS,
    "agent_model": limits.AGENT_MODEL_CHARACTERS,
    "agent_version": limits.AGENT_VERSION_CHARACTERS,
}


def create_trace(request: trace_service_pb2.CreateTraceRequest) -> Iterator[Violation]:
    """Yields the violations of a contribution."""
    yield from contribution(request)
    yield from rules.optional_namespace("namespace", request.namespace)
    yield from rules.optional_identifier("request_id", request.request_id)


def contribution(
    message: trace_service_pb2.CreateTraceRequest | trace_record_pb2.TraceRecord,
) -> Iterator[Violation]:
    """Yields the violations of a new trace, contributed or imported."""
    for name, limit in _TEXTS.items():
        yield from stored.text(name, getattr(message, name), limit, required=name in traces.TEXTS)
    yield from stored.tags("tags", message.tags)
    if message.HasField("metadata"):
        yield from stored.metadata("metadata", message.metadata)
    yield from rules.known_enum("on_duplicate", message.on_duplicate, trace_pb2.OnDuplicate)
    yield from rules.optional_identifier("supersedes_trace_id", message.supersedes_trace_id)


def get_trace(request: trace_service_pb2.GetTraceRequest) -> Iterator[Violation]:
    """Yields the violations of a request for one trace."""
    yield from rules.identifier("trace_id", request.trace_id)
    yield from rules.known_enum("view", request.view, trace_pb2.TraceView)


def update_trace(request: trace_service_pb2.UpdateTraceRequest) -> Iterator[Violation]:
    """Yields the violations of an edit, in the fields that the mask names."""
    trace = request.trace
    yield from rules.identifier("trace.id", trace.id)
    yield from rules.update_mask(request.update_mask, trace_update.FIELDS)
    for name, limit in _TEXTS.items():
        if name in request.update_mask.paths:
            required = name in traces.TEXTS
            yield from stored.text(f"trace.{name}", getattr(trace, name), limit, required=required)
    if "tags" in request.update_mask.paths:
        yield from stored.tags("trace.tags", trace.tags)
    if "metadata" in request.update_mask.paths:
        yield from stored.metadata("trace.metadata", trace.metadata)
    yield from _etag(request.etag)
    yield from rules.optional_identifier("request_id", request.request_id)


def delete_trace(request: trace_service_pb2.DeleteTraceRequest) -> Iterator[Violation]:
    """Yields the violations of a deletion."""
    yield from of_one_trace(request)
    yield from _etag(request.etag)


def promote_trace(request: trace_service_pb2.PromoteTraceRequest) -> Iterator[Violation]:
    """Yields the violations of a promotion."""
    yield from of_one_trace(request)
    yield from rules.namespace("to_namespace", request.to_namespace)


def hide_trace(request: trace_service_pb2.HideTraceRequest) -> Iterator[Violation]:
    """Yields the violations of a request to hide a trace."""
    yield from of_one_trace(request)
    yield from stored.text("reason", request.reason, limits.HIDE_REASON_CHARACTERS, required=True)


def of_one_trace(request: OfOneTrace) -> Iterator[Violation]:
    """Yields the violations of a write with a trace id and a request id."""
    yield from rules.identifier("trace_id", request.trace_id)
    yield from rules.optional_identifier("request_id", request.request_id)


def _etag(etag: str) -> Iterator[Violation]:
    yield from rules.not_longer("etag", len(etag), limits.ETAG_CHARACTERS, "characters")


def _no_rules(_request: Message) -> Iterable[Violation]:
    return ()


RULES: dict[type[Message], Callable[[Any], Iterable[Violation]]] = {
    trace_service_pb2.GetServiceInfoRequest: _no_rules,
    trace_service_pb2.CreateTraceRequest: create_trace,
    trace_service_pb2.GetTraceRequest: get_trace,
    trace_service_pb2.UpdateTraceRequest: update_trace,
    trace_service_pb2.DeleteTraceRequest: delete_trace,
    trace_service_pb2.UndeleteTraceRequest: of_one_trace,
    trace_service_pb2.HideTraceRequest: hide_trace,
    trace_service_pb2.UnhideTraceRequest: of_one_trace,
    trace_service_pb2.PurgeTraceRequest: of_one_trace,
    trace_service_pb2.PromoteTraceRequest: promote_trace,
}
"""The rules of TraceService without searches, lists and streams, by request type."""
