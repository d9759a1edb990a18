"""Calls of TagService as its tests need them."""

from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.v1 import tag_pb2
from commontrace.v1 import tag_service_pb2 as pb
from commontrace.v1.tag_service_pb2_grpc import TagServiceStub
from tests.conftest import RunningServer, administer
from tests.support.builders import a_contribution

ADD_TAGS = "INSERT INTO tags (id, name{columns}) SELECT gen_random_uuid(), {values}"


async def contribute(server: RunningServer, number: int, *tags: str) -> list[str]:
    """Stores a trace and returns its tags."""
    return list((await server.traces.CreateTrace(a_contribution(number, tags=tags))).created.tags)


async def get(tags: TagServiceStub, name: str) -> tag_pb2.Tag:
    return (await tags.GetTag(pb.GetTagRequest(name=name))).tag


async def merge(tags: TagServiceStub, source: str, target: str) -> pb.MergeTagsResponse:
    return await tags.MergeTags(pb.MergeTagsRequest(source=source, target=target))


async def update(tags: TagServiceStub, paths: list[str], **fields: object) -> tag_pb2.Tag:
    tag = tag_pb2.Tag(**fields)  # type: ignore[arg-type] # the fields of a tag
    return (await tags.UpdateTag(pb.UpdateTagRequest(tag=tag, update_mask=FieldMask(paths=paths)))).tag


async def listed(tags: TagServiceStub, **fields: object) -> list[str]:
    """The names of one page."""
    request = pb.ListTagsRequest(**fields)  # type: ignore[arg-type] # the fields of a request
    return [tag.name for tag in (await tags.ListTags(request)).tags]


async def add_tags(database_url: str, names: list[str]) -> None:
    array = "ARRAY[" + ", ".join(f"'{name}'" for name in names) + "]"
    await administer(database_url, ADD_TAGS.format(columns="", values=f"unnest({array})"))
