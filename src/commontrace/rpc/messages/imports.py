"""Translation of imports."""

from collections.abc import Iterable
from datetime import UTC

from commontrace.core.imports.service import ImportProgress
from commontrace.domain.imports.decisions import Item, Outcome, Recorded
from commontrace.domain.tags import names as tag_names
from commontrace.embeddings.embedder import unit_vector
from commontrace.rpc.messages import traces
from commontrace.rpc.messages.item_errors import item_error
from commontrace.rpc.messages.vectors import vector_array
from commontrace.v1 import trace_import_pb2, trace_record_pb2


def item(message: trace_import_pb2.ImportItem) -> Item:
    """Returns the domain item of a valid message."""
    record = message.trace
    contribution = traces.contribution(record)
    return Item(
        sequence=message.sequence,
        contribution=contribution,
        tags=tag_names.normalise_all(contribution.tags),
        content_hash=contribution.content_hash,
        on_duplicate=traces.on_duplicate(record.on_duplicate),
        trace_id=traces.optional_id(record.id),
        created_at=record.create_time.ToDatetime(tzinfo=UTC) if record.HasField("create_time") else None,
        supersedes_id=traces.optional_id(record.supersedes_trace_id),
        namespace=record.namespace,
        vector=unit_vector(vector_array(record.embedding)) if record.HasField("embedding") else None,
    )


def is_privileged(record: trace_record_pb2.TraceRecord) -> bool:
    """Tells whether a record sets what the service sets by itself otherwise: id, create time, vector."""
    return bool(record.id) or record.HasField("create_time") or record.HasField("embedding")


def acknowledgement(
    outcomes: Iterable[tuple[int, Outcome]], last_sequence: int
) -> trace_import_pb2.ImportTracesResponse:
    """Returns the response to a message with items: their outcomes, given with their sequences."""
    return trace_import_pb2.ImportTracesResponse(
        results=[_result(sequence, outcome) for sequence, outcome in outcomes], last_sequence=last_sequence
    )


def progress_message(progress: ImportProgress) -> trace_import_pb2.ImportTracesResponse:
    """Returns the response to a message without items: the progress of the import."""
    return trace_import_pb2.ImportTracesResponse(
        last_sequence=progress.last_sequence, created_count=progress.created, existing_count=progress.existing
    )


def _result(sequence: int, outcome: Outcome) -> trace_import_pb2.ImportResult:
    if not isinstance(outcome, Recorded):
        return trace_import_pb2.ImportResult(sequence=sequence, error=item_error(outcome))
    if outcome.is_new:
        return trace_import_pb2.ImportResult(
            sequence=sequence,
            created_trace_id=str(outcome.trace_id),
            supersedes_error=None if outcome.unlinked is None else item_error(outcome.unlinked),
        )
    return trace_import_pb2.ImportResult(sequence=sequence, existing_trace_id=str(outcome.trace_id))
