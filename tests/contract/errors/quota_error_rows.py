"""Error rows for exhausted quotas: reads and writes a minute, new tag names a day."""

from collections.abc import Iterator

from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.v1 import tag_service_pb2, trace_pb2, trace_service_pb2
from tests.contract.errors.error_row import CREATE, MERGE_TAGS, UNKNOWN_ID, UPDATE, VALID, Code, Row

SPENDER = (("x-commontrace-user", "spender@example.org"),)


def quota_rows() -> Iterator[Row]:
    """Every RPC, for a caller who has used up both quotas."""
    for rpc, request in VALID.items():
        yield Row(
            name="quota used up",
            rpc=rpc,
            request=request,
            code=Code.RESOURCE_EXHAUSTED,
            reason="QUOTA_EXCEEDED",
            metadata=SPENDER,
        )


def tag_name_rows(trace_id: str = UNKNOWN_ID) -> Iterator[Row]:
    """Every RPC that can bring a new name of a tag, for a caller who has used up the day's; the trace is its own."""
    create = trace_service_pb2.CreateTraceRequest(title="a", context="b", solution="c", tags=["python", "unheard-of"])
    requests = {
        "a trace's tag": (CREATE, create),
        "a trace's tag, tried": (CREATE, trace_service_pb2.CreateTraceRequest(validate_only=True)),
        "another tag": (
            UPDATE,
            trace_service_pb2.UpdateTraceRequest(
                trace=trace_pb2.Trace(id=trace_id, tags=["unheard-of"]), update_mask=FieldMask(paths=["tags"])
            ),
        ),
        "an alias": (MERGE_TAGS, tag_service_pb2.MergeTagsRequest(source="unheard-of", target="python")),
        "a target": (MERGE_TAGS, tag_service_pb2.MergeTagsRequest(source="python", target="unheard-of")),
    }
    requests["a trace's tag, tried"][1].MergeFrom(create)
    for name, (rpc, request) in requests.items():
        yield Row(
            name=f"names used up: {name}",
            rpc=rpc,
            request=request,
            code=Code.RESOURCE_EXHAUSTED,
            reason="QUOTA_EXCEEDED",
            metadata=SPENDER,
        )
