"""Validation of imports: of a message, of a message after others, and of a trace."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from uuid import UUID

from google.protobuf.message import Message

from commontrace.domain import limits
from commontrace.rpc.messages.vectors import vector_violations
from commontrace.rpc.validation import field_rules as rules
from commontrace.rpc.validation import trace_rules
from commontrace.rpc.validation.invalid_request import Violation
from commontrace.v1 import error_reason_pb2 as reasons
from commontrace.v1 import trace_import_pb2, trace_record_pb2

# Tolerance for importers whose clocks are ahead.
_SKEW_SECONDS = 60


def import_traces(request: trace_import_pb2.ImportTracesRequest) -> Iterator[Violation]:
    """Yields the violations of a message, without those of its traces, which fail one by one."""
    yield from rules.optional_identifier("import_id", request.import_id)
    yield from rules.optional_namespace("namespace", request.namespace)
    yield from rules.not_longer("items", len(request.items), limits.IMPORT_ITEMS, "items")
    previous = 0
    for position, item in enumerate(request.items[: limits.IMPORT_ITEMS]):
        yield from _ascending(f"items[{position}].sequence", item.sequence, previous)
        previous = item.sequence
        if not item.HasField("trace"):
            field = f"items[{position}].trace"
            yield Violation(field=field, reason=reasons.ERROR_REASON_FIELD_REQUIRED, message="is required")


def next_message(
    request: trace_import_pb2.ImportTracesRequest, import_id: UUID | None, last_sequence: int, namespace: str
) -> Iterator[Violation]:
    """Yields the violations of a message after those before it, given their import, last sequence and namespace."""
    if import_id is None:
        yield from rules.identifier("import_id", request.import_id)
    elif request.import_id and UUID(request.import_id) != import_id:
        yield Violation(
            field="import_id",
            reason=reasons.ERROR_REASON_FIELD_NOT_ALLOWED,
            message="names another import than the first message: a stream belongs to one",
        )
    if import_id is not None and request.namespace not in ("", namespace):
        yield Violation(
            field="namespace",
            reason=reasons.ERROR_REASON_FIELD_NOT_ALLOWED,
            message="names another namespace than the first message: a stream has one, or none",
        )
    if request.items:
        yield from _ascending("items[0].sequence", request.items[0].sequence, last_sequence)


def trace_record(record: trace_record_pb2.TraceRecord, *, model_id: str, dimensions: int) -> Iterator[Violation]:
    """Yields the violations of a trace; its vector must be one of the model."""
    yield from rules.optional_identifier("id", record.id)
    yield from trace_rules.contribution(record)
    yield from rules.optional_namespace("namespace", record.namespace)
    if record.HasField("create_time"):
        yield from rules.time("create_time", record.create_time, latest=int(time.time()) + _SKEW_SECONDS)
    if record.HasField("embedding"):
        yield from vector_violations("embedding", record.embedding, model_id=model_id, dimensions=dimensions)


def _ascending(field: str, sequence: int, previous: int) -> Iterator[Violation]:
    yield from rules.within(field, sequence, previous + 1, max(previous + 1, limits.SEQUENCES))


RULES: dict[type[Message], Callable[[Any], Iterable[Violation]]] = {
    trace_import_pb2.ImportTracesRequest: import_traces,
}
"""The rule of ImportTraces, by request type."""
