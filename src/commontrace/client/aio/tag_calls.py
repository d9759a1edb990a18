"""Calls of TagService."""

from collections.abc import AsyncIterator, Iterable, Sequence
from uuid import UUID

from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.client.aio.pages import PagedCalls
from commontrace.client.requests import reject_single_string, request_id_of
from commontrace.v1 import tag_pb2, tag_service_pb2


class TagCalls(PagedCalls):
    """Calls of TagService. Writes take a `request_id` (a UUID, by default a new one), their idempotency key."""

    async def tags(
        self, *, prefix: str = "", curated_only: bool = False, page_size: int = 0
    ) -> AsyncIterator[tag_pb2.Tag]:
        """Yields all tags by name; `page_size` is the number of tags that one call fetches."""
        request = tag_service_pb2.ListTagsRequest(prefix=prefix, curated_only=curated_only, page_size=page_size)
        async for page in self._pages(self._tags.ListTags, request):
            for tag in page.tags:
                yield tag

    async def most_used_tags(
        self, count: int = 50, *, prefix: str = "", curated_only: bool = False
    ) -> Sequence[tag_pb2.Tag]:
        """Returns the tags with the most live traces, at most 500."""
        request = tag_service_pb2.ListTagsRequest(
            prefix=prefix, curated_only=curated_only, order=tag_service_pb2.TAG_ORDER_USE, page_size=count
        )
        response = await self._call(self._tags.ListTags, request)
        return response.tags

    async def tag(self, name: str) -> tag_pb2.Tag:
        """Returns the tag with this name or alias, in any spelling."""
        response = await self._call(self._tags.GetTag, tag_service_pb2.GetTagRequest(name=name))
        return response.tag

    async def update_tag(
        self,
        name: str,
        *,
        description: str | None = None,
        is_curated: bool | None = None,
        request_id: str | UUID | None = None,
    ) -> tag_pb2.Tag:
        """Updates the given fields of a tag; None leaves a field unchanged."""
        changes = {"description": description, "is_curated": is_curated}
        given = [field for field, value in changes.items() if value is not None]
        request = tag_service_pb2.UpdateTagRequest(
            tag=tag_pb2.Tag(name=name, description=description or "", is_curated=bool(is_curated)),
            update_mask=FieldMask(paths=given),
            request_id=request_id_of(request_id),
        )
        response = await self._call(self._tags.UpdateTag, request)
        return response.tag

    async def resolve_tags(self, names: Iterable[str]) -> Sequence[tag_service_pb2.ResolvedTag]:
        """Returns the tag for each spelling, in order. Raises TypeError if `names` is a single string."""
        request = tag_service_pb2.ResolveTagsRequest(names=reject_single_string("names", names))
        response = await self._call(self._tags.ResolveTags, request)
        return response.resolved

    async def merge_tags(
        self, source: str, target: str, *, request_id: str | UUID | None = None
    ) -> tag_service_pb2.MergeTagsResponse:
        """Makes the name `source` an alias of `target`, permanently and for every trace."""
        request = tag_service_pb2.MergeTagsRequest(source=source, target=target, request_id=request_id_of(request_id))
        return await self._call(self._tags.MergeTags, request)
