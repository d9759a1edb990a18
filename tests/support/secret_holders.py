"""Requests that would keep a text, by each field that could, and where to look for it afterwards."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from commontrace.v1 import namespace_pb2, tag_pb2, trace_pb2, trace_record_pb2, vote_pb2
from commontrace.v1 import namespace_service_pb2 as namespace_pb
from commontrace.v1 import tag_service_pb2 as tag_pb
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vote_service_pb2 as vote_pb
from tests.contract.errors.error_row import (
    CAST_VOTE,
    CREATE,
    CREATE_NAMESPACE,
    HIDE,
    MERGE_TAGS,
    UNKNOWN_ID,
    UPDATE,
    UPDATE_NAMESPACE,
    UPDATE_TAG,
)

KeywordMatch = tuple[str, str, Message]
"""An RPC, a field, and the request that holds the text there."""

_TEXTS = ("title", "context", "solution", "agent_model", "agent_version")


def holders(text: str, *, own: str = UNKNOWN_ID, others: str = UNKNOWN_ID) -> Iterator[KeywordMatch]:
    """Yields them for every field that is not a tag; `own` is a trace of the caller's, `others` is not."""
    for field in _TEXTS:
        value: dict[str, Any] = {field: f"see {text}"}
        yield CREATE, field, _create(**value)
        yield UPDATE, f"trace.{field}", _update(own, field, **value)
    for pair in ((text, "v"), ("k", text)):
        metadata = Struct()
        metadata.update(dict([pair]))
        yield CREATE, "metadata", _create(metadata=metadata)
        yield UPDATE, "trace.metadata", _update(own, "metadata", metadata=metadata)
    vote = vote_pb.CastVoteRequest(trace_id=others, type=vote_pb2.VOTE_TYPE_UP, comment=f"with {text}")
    yield CAST_VOTE, "comment", vote
    yield HIDE, "reason", pb.HideTraceRequest(trace_id=others, reason=f"it holds {text}")
    described = tag_pb2.Tag(name="python", description=f"with {text}")
    mask = FieldMask(paths=["description"])
    yield UPDATE_TAG, "tag.description", tag_pb.UpdateTagRequest(tag=described, update_mask=mask)
    namespace = namespace_pb2.Namespace(name="commons", description=f"with {text}")
    created = namespace_pb.CreateNamespaceRequest(name="team", description=namespace.description)
    yield CREATE_NAMESPACE, "description", created
    changed = namespace_pb.UpdateNamespaceRequest(namespace=namespace, update_mask=mask)
    yield UPDATE_NAMESPACE, "namespace.description", changed


def tag_holders(text: str, *, own: str = UNKNOWN_ID) -> Iterator[KeywordMatch]:
    """Yields them for every field that is a tag."""
    yield CREATE, "tags[1]", _create(tags=["fine", text])
    yield UPDATE, "trace.tags[0]", _update(own, "tags", tags=[text])
    yield MERGE_TAGS, "source", tag_pb.MergeTagsRequest(source=text, target="python")
    yield MERGE_TAGS, "target", tag_pb.MergeTagsRequest(source="merged", target=text)
    curated = tag_pb.UpdateTagRequest(tag=tag_pb2.Tag(name=text), update_mask=FieldMask(paths=["is_curated"]))
    yield UPDATE_TAG, "tag.name", curated


def records(text: str) -> Iterator[trace_record_pb2.TraceRecord]:
    """Yields records that an import would keep it with, one for each field."""
    for _, _, request in (*holders(text), *tag_holders(text)):
        if isinstance(request, pb.CreateTraceRequest):
            # They have these fields in common, by name but not by number.
            shared = {field.name: value for field, value in request.ListFields()}
            yield trace_record_pb2.TraceRecord(**shared)


def _create(**changes: Any) -> pb.CreateTraceRequest:
    return pb.CreateTraceRequest(**({"title": "a", "context": "b", "solution": "c"} | changes))


def _update(trace_id: str, field: str, **changes: Any) -> pb.UpdateTraceRequest:
    trace = trace_pb2.Trace(id=trace_id, **changes)
    return pb.UpdateTraceRequest(trace=trace, update_mask=FieldMask(paths=[field]))
