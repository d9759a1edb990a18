"""The vocabulary: looking tags up, describing and merging them."""

from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.v1 import tag_pb2, tag_service_pb2, trace_service_pb2
from tests.compatibility.previous_stubs.user import User


async def check_vocabulary(user: User) -> None:
    """Finds the tags of the trace by any spelling, and describes one."""
    listed = await user.tags.ListTags(tag_service_pb2.ListTagsRequest(prefix="Link"))
    assert [(tag.name, tag.trace_count) for tag in listed.tags] == [("linking", 1)]
    got = await user.tags.GetTag(tag_service_pb2.GetTagRequest(name="C++"))
    assert (got.tag.name, got.tag.trace_count) == ("cpp", 1), got.tag
    resolved = await user.tags.ResolveTags(tag_service_pb2.ResolveTagsRequest(names=["c++", "no-such-tag", "!"]))
    assert [(tag.given, tag.name, tag.state) for tag in resolved.resolved] == [
        ("c++", "cpp", tag_service_pb2.TAG_STATE_EXISTING),
        ("no-such-tag", "no-such-tag", tag_service_pb2.TAG_STATE_NEW),
        ("!", "", tag_service_pb2.TAG_STATE_INVALID),
    ]
    assert resolved.resolved[0].alias == "c++"
    assert resolved.resolved[2].problem
    updated = await user.tags.UpdateTag(
        tag_service_pb2.UpdateTagRequest(
            tag=tag_pb2.Tag(name="linking", description="What ld and its kin say.", is_curated=True),
            update_mask=FieldMask(paths=["description", "is_curated"]),
        )
    )
    assert (updated.tag.description, updated.tag.is_curated) == ("What ld and its kin say.", True)


async def check_merges(user: User, trace_id: str) -> None:
    """Makes a tag of the trace an alias of a new one."""
    merged = await user.tags.MergeTags(tag_service_pb2.MergeTagsRequest(source="linking", target="linker"))
    assert (merged.tag.name, list(merged.tag.aliases), merged.moved_trace_count) == ("linker", ["linking"], 1), merged
    got = await user.traces.GetTrace(trace_service_pb2.GetTraceRequest(trace_id=trace_id))
    assert list(got.trace.tags) == ["cpp", "linker"]
