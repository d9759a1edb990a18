"""How calls fail that would keep a secret, by each field whose text is kept."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from commontrace.v1 import tag_pb2, trace_pb2, trace_record_pb2, vote_pb2
from commontrace.v1 import tag_service_pb2 as tag_pb
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vote_service_pb2 as vote_pb
from tests.contract.error_row import CAST_VOTE, CREATE, MERGE_TAGS, UNKNOWN_ID, UPDATE, UPDATE_TAG, Row, invalid
from tests.planted_secrets import planted

_TEXTS = ("title", "context", "solution", "agent_model", "agent_version")
# One that is a tag but for its capitals, one that is too long for a tag, one with signs that no tag has.
_TAGS = ("github-token", "pypi-token", "url-password")


def secret_rows() -> Iterator[Row]:
    # The shortest limit of a text is that of agent_version, 50 characters.
    for rpc, field, request in keeping(planted("github-token", 0)):
        yield invalid(rpc, f"a secret in {field}", "SECRET_FOUND", field, request)
    for rule in _TAGS:
        for rpc, field, request in keeping_tags(planted(rule, 0)):
            yield invalid(rpc, f"{rule} as {field}", "SECRET_FOUND", field, request)
    in_a_list, named = Struct(), Struct()
    in_a_list.update({"k": [{"k": ["fine", planted("npm-token", 0)]}]})
    name, _, value = planted("aws-secret-access-key", 0).partition(" = ")
    named.update({name: value})
    for what, metadata in {"deep inside": in_a_list, "under its name": named}.items():
        request = pb.CreateTraceRequest(title="a", context="b", solution="c", metadata=metadata)
        yield invalid(CREATE, f"a secret {what}", "SECRET_FOUND", "metadata", request)


def keeping(secret: str) -> Iterator[tuple[str, str, Message]]:
    """Yields RPCs, fields and requests that would keep the text, which has at most 50 characters."""
    fine = {"title": "a", "context": "b", "solution": "c"}
    for field in _TEXTS:
        values: dict[str, Any] = {field: f"see {secret}"[-50:]}
        yield CREATE, field, pb.CreateTraceRequest(**{**fine, **values})
        trace = trace_pb2.Trace(id=UNKNOWN_ID, **values)
        yield UPDATE, f"trace.{field}", pb.UpdateTraceRequest(trace=trace, update_mask=FieldMask(paths=[field]))
    for pair in ((secret, "v"), ("k", secret)):
        metadata = Struct()
        metadata.update(dict([pair]))
        yield CREATE, "metadata", pb.CreateTraceRequest(title="a", context="b", solution="c", metadata=metadata)
        trace = trace_pb2.Trace(id=UNKNOWN_ID, metadata=metadata)
        yield UPDATE, "trace.metadata", pb.UpdateTraceRequest(trace=trace, update_mask=FieldMask(paths=["metadata"]))
    vote = vote_pb.CastVoteRequest(trace_id=UNKNOWN_ID, type=vote_pb2.VOTE_TYPE_UP, comment=f"with {secret}")
    yield CAST_VOTE, "comment", vote
    tag = tag_pb2.Tag(name="python", description=f"with {secret}")
    described = tag_pb.UpdateTagRequest(tag=tag, update_mask=FieldMask(paths=["description"]))
    yield UPDATE_TAG, "tag.description", described


def keeping_tags(secret: str) -> Iterator[tuple[str, str, Message]]:
    """Yields RPCs, fields and requests that would keep the text as a tag."""
    yield CREATE, "tags[1]", pb.CreateTraceRequest(title="a", context="b", solution="c", tags=["fine", secret])
    trace = trace_pb2.Trace(id=UNKNOWN_ID, tags=[secret])
    yield UPDATE, "trace.tags[0]", pb.UpdateTraceRequest(trace=trace, update_mask=FieldMask(paths=["tags"]))
    yield MERGE_TAGS, "source", tag_pb.MergeTagsRequest(source=secret, target="python")
    yield MERGE_TAGS, "target", tag_pb.MergeTagsRequest(source="python", target=secret)
    curated = tag_pb.UpdateTagRequest(tag=tag_pb2.Tag(name=secret), update_mask=FieldMask(paths=["is_curated"]))
    yield UPDATE_TAG, "tag.name", curated


def keeping_records(secret: str) -> Iterator[tuple[str, trace_record_pb2.TraceRecord]]:
    """Yields fields and records that an import would keep the text with."""
    for rpc, field, request in (*keeping(secret), *keeping_tags(secret)):
        if rpc == CREATE and isinstance(request, pb.CreateTraceRequest):
            yield (
                field,
                trace_record_pb2.TraceRecord(
                    title=request.title,
                    context=request.context,
                    solution=request.solution,
                    tags=request.tags,
                    agent_model=request.agent_model,
                    agent_version=request.agent_version,
                    metadata=request.metadata,
                ),
            )
