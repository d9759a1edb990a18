"""Translation of exported traces."""

from commontrace.domain.traces.trace_filter import TraceFilter
from commontrace.rpc.messages.filters import trace_filter_of
from commontrace.rpc.messages.timestamps import timestamp
from commontrace.rpc.messages.traces import struct
from commontrace.storage.traces.export import ExportRow
from commontrace.v1 import trace_export_pb2, trace_pb2, trace_record_pb2, vector_pb2


def trace_filter(request: trace_export_pb2.ExportTracesRequest) -> TraceFilter:
    """Returns the filter of a valid request; without one, every trace passes, superseded ones too."""
    return trace_filter_of(request.filter) if request.HasField("filter") else TraceFilter(include_superseded=True)


def record_message(row: ExportRow, *, model_id: str) -> trace_record_pb2.TraceRecord:
    """Returns a trace as the record that another server imports, its vector as one of the model."""
    message = trace_record_pb2.TraceRecord(
        id=str(row.id),
        title=row.title,
        context=row.context_text,
        solution=row.solution_text,
        tags=row.tags,
        agent_model=row.agent_model,
        agent_version=row.agent_version,
        supersedes_trace_id=str(row.supersedes_id or ""),
        create_time=timestamp(row.created_at),
        namespace=row.namespace,
    )
    if row.allows_duplicates:
        message.on_duplicate = trace_pb2.ON_DUPLICATE_ALLOW
    if row.metadata_json:
        message.metadata.CopyFrom(struct(row.metadata_json))
    if row.embedding is not None:
        vector = vector_pb2.Vector(packed_f32=row.embedding.astype("<f4").tobytes(), model_id=model_id)
        message.embedding.CopyFrom(vector)
    return message
