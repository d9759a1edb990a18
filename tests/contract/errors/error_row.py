"""Row of the error table, and the valid requests that rows start from."""

from dataclasses import dataclass

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from commontrace.v1 import (
    namespace_pb2,
    tag_pb2,
    trace_event_pb2,
    trace_export_pb2,
    trace_import_pb2,
    trace_pb2,
    trace_record_pb2,
    vote_pb2,
)
from commontrace.v1 import namespace_service_pb2 as namespace_pb
from commontrace.v1 import tag_service_pb2 as tag_pb
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vote_service_pb2 as vote_pb

(
    INFO,
    CREATE,
    GET,
    BATCH_GET,
    LIST,
    UPDATE,
    DELETE,
    UNDELETE,
    HIDE,
    UNHIDE,
    PURGE,
    REVISIONS,
    SEARCH,
    IMPORT,
    EXPORT,
    WATCH,
    PROMOTE,
) = (
    f"/commontrace.v1.TraceService/{name}"
    for name in (
        "GetServiceInfo",
        "CreateTrace",
        "GetTrace",
        "BatchGetTraces",
        "ListTraces",
        "UpdateTrace",
        "DeleteTrace",
        "UndeleteTrace",
        "HideTrace",
        "UnhideTrace",
        "PurgeTrace",
        "ListTraceRevisions",
        "SearchTraces",
        "ImportTraces",
        "ExportTraces",
        "WatchTraces",
        "PromoteTrace",
    )
)
CAST_VOTE, RETRACT_VOTE, GET_VOTE, LIST_VOTES = (
    f"/commontrace.v1.VoteService/{name}" for name in ("CastVote", "RetractVote", "GetVote", "ListVotes")
)
LIST_TAGS, GET_TAG, UPDATE_TAG, RESOLVE_TAGS, MERGE_TAGS = (
    f"/commontrace.v1.TagService/{name}" for name in ("ListTags", "GetTag", "UpdateTag", "ResolveTags", "MergeTags")
)
(
    CREATE_NAMESPACE,
    GET_NAMESPACE,
    LIST_NAMESPACES,
    UPDATE_NAMESPACE,
    DELETE_NAMESPACE,
    SET_MEMBER,
    REMOVE_MEMBER,
    LIST_MEMBERS,
) = (
    f"/commontrace.v1.NamespaceService/{name}"
    for name in (
        "CreateNamespace",
        "GetNamespace",
        "ListNamespaces",
        "UpdateNamespace",
        "DeleteNamespace",
        "SetMember",
        "RemoveMember",
        "ListMembers",
    )
)
UNKNOWN_ID = "123e4567-e89b-12d3-a456-426614174000"
NO_IDS = {"a word": "trace", "braces": f"{{{UNKNOWN_ID}}}", "NUL": f"{UNKNOWN_ID}\0", "a space": f"{UNKNOWN_ID} "}
"""Some that every field for an id refuses; `trace_error_rows.py` has all."""

VALID: dict[str, Message] = {
    INFO: pb.GetServiceInfoRequest(),
    CREATE: pb.CreateTraceRequest(title="a", context="b", solution="c"),
    GET: pb.GetTraceRequest(trace_id=UNKNOWN_ID),
    BATCH_GET: pb.BatchGetTracesRequest(trace_ids=[UNKNOWN_ID]),
    LIST: pb.ListTracesRequest(),
    UPDATE: pb.UpdateTraceRequest(
        trace=trace_pb2.Trace(id=UNKNOWN_ID, title="a"), update_mask=FieldMask(paths=["title"])
    ),
    DELETE: pb.DeleteTraceRequest(trace_id=UNKNOWN_ID),
    UNDELETE: pb.UndeleteTraceRequest(trace_id=UNKNOWN_ID),
    HIDE: pb.HideTraceRequest(trace_id=UNKNOWN_ID, reason="a"),
    UNHIDE: pb.UnhideTraceRequest(trace_id=UNKNOWN_ID),
    PURGE: pb.PurgeTraceRequest(trace_id=UNKNOWN_ID),
    REVISIONS: pb.ListTraceRevisionsRequest(trace_id=UNKNOWN_ID),
    SEARCH: pb.SearchTracesRequest(text="why does it fail?"),
    IMPORT: trace_import_pb2.ImportTracesRequest(
        import_id=UNKNOWN_ID,
        items=[
            trace_import_pb2.ImportItem(
                sequence=1, trace=trace_record_pb2.TraceRecord(title="a", context="b", solution="c")
            )
        ],
    ),
    EXPORT: trace_export_pb2.ExportTracesRequest(),
    WATCH: trace_event_pb2.WatchTracesRequest(),
    PROMOTE: pb.PromoteTraceRequest(trace_id=UNKNOWN_ID, to_namespace="commons"),
    CAST_VOTE: vote_pb.CastVoteRequest(trace_id=UNKNOWN_ID, type=vote_pb2.VOTE_TYPE_UP),
    RETRACT_VOTE: vote_pb.RetractVoteRequest(trace_id=UNKNOWN_ID),
    GET_VOTE: vote_pb.GetVoteRequest(trace_id=UNKNOWN_ID),
    LIST_VOTES: vote_pb.ListVotesRequest(trace_id=UNKNOWN_ID),
    LIST_TAGS: tag_pb.ListTagsRequest(),
    GET_TAG: tag_pb.GetTagRequest(name="python"),
    UPDATE_TAG: tag_pb.UpdateTagRequest(
        tag=tag_pb2.Tag(name="python", description="a language"), update_mask=FieldMask(paths=["description"])
    ),
    RESOLVE_TAGS: tag_pb.ResolveTagsRequest(names=["python"]),
    MERGE_TAGS: tag_pb.MergeTagsRequest(source="py", target="python"),
    CREATE_NAMESPACE: namespace_pb.CreateNamespaceRequest(name="team"),
    GET_NAMESPACE: namespace_pb.GetNamespaceRequest(name="commons"),
    LIST_NAMESPACES: namespace_pb.ListNamespacesRequest(),
    UPDATE_NAMESPACE: namespace_pb.UpdateNamespaceRequest(
        namespace=namespace_pb2.Namespace(name="commons", description="for all"),
        update_mask=FieldMask(paths=["description"]),
    ),
    DELETE_NAMESPACE: namespace_pb.DeleteNamespaceRequest(name="team"),
    SET_MEMBER: namespace_pb.SetMemberRequest(
        namespace="commons", email="ada@example.org", role=namespace_pb2.NAMESPACE_ROLE_READER
    ),
    REMOVE_MEMBER: namespace_pb.RemoveMemberRequest(namespace="commons", email="ada@example.org"),
    LIST_MEMBERS: namespace_pb.ListMembersRequest(namespace="commons"),
}
"""One request of every RPC that breaks no rule."""

Metadata = tuple[tuple[str, str], ...]
Code = grpc.StatusCode


@dataclass(frozen=True, kw_only=True)
class Row:
    """A call and how it fails.

    Without a request, the call ends without a message. Without a reason, the transport refuses it, without details.
    """

    name: str
    rpc: str
    request: Message | bytes | None
    code: grpc.StatusCode
    reason: str = ""
    field: str = ""
    metadata: Metadata = ()

    @property
    def payload(self) -> bytes | None:
        return self.request.SerializeToString() if isinstance(self.request, Message) else self.request


def invalid(rpc: str, name: str, reason: str, field: str, request: Message) -> Row:
    return Row(name=name, rpc=rpc, request=request, code=Code.INVALID_ARGUMENT, reason=reason, field=field)


def malformed(rpc: str, name: str, request: bytes | None) -> Row:
    return Row(name=name, rpc=rpc, request=request, code=Code.INVALID_ARGUMENT, reason="MALFORMED_REQUEST")


def objects(levels: int) -> Struct:
    """As many objects, one in the other."""
    outermost = innermost = Struct()
    for _ in range(levels - 1):
        innermost = innermost.fields["k"].struct_value
    innermost.fields["k"].null_value = 0  # type: ignore[assignment] # its only value
    return outermost


def lists(levels: int) -> Struct:
    """As many levels: lists, one in the other, in an object."""
    outermost = Struct()
    innermost = outermost.fields["k"]
    for _ in range(levels - 1):
        innermost = innermost.list_value.values.add()
    innermost.null_value = 0  # type: ignore[assignment] # its only value
    return outermost


def delimited(field: int, content: bytes) -> bytes:
    """The encoding of a field that holds bytes, text or a message."""
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
