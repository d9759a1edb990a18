"""TagService: the servicer of the vocabulary of tags (ADR 0010)."""

from commontrace.core.tags import service as tag_service
from commontrace.domain.errors import TagNotFound
from commontrace.domain.tags.names import normalise
from commontrace.rpc.call import Context
from commontrace.rpc.idempotency import IdempotentWrites, Unprepared
from commontrace.rpc.messages import tags
from commontrace.storage.database import Database
from commontrace.v1 import tag_service_pb2 as pb
from commontrace.v1 import tag_service_pb2_grpc


class TagServicer(tag_service_pb2_grpc.TagServiceServicer):
    """TagService."""

    def __init__(self, database: Database, writes: IdempotentWrites) -> None:
        self._database = database
        self._writes = writes

    async def ListTags(self, request: pb.ListTagsRequest, _context: Context) -> pb.ListTagsResponse:
        """Returns a page of tags by name, or the most used ones."""
        query = tags.tag_query(request)
        rows = await self._database.read(lambda reading: reading.tag_listing.list(query))
        return tags.page_message(rows, request)

    async def GetTag(self, request: pb.GetTagRequest, _context: Context) -> pb.GetTagResponse:
        """Returns one tag, by its name or an alias."""
        name = normalise(request.name)
        tag = await self._database.read(lambda reading: reading.tag_listing.get(name))
        if tag is None:
            raise TagNotFound(name)
        return pb.GetTagResponse(tag=tags.tag_message(tag))

    async def UpdateTag(self, request: pb.UpdateTagRequest, _context: Context) -> pb.UpdateTagResponse:
        """Changes the description of a tag, or whether it is curated."""
        return await self._writes.execute(
            request,
            Unprepared(lambda work, _: tag_service.update(request.tag.name, tags.changes(request), work)),
            lambda tag: pb.UpdateTagResponse(tag=tags.tag_message(tag)),
        )

    async def ResolveTags(self, request: pb.ResolveTagsRequest, _context: Context) -> pb.ResolveTagsResponse:
        """Returns the tag that each spelling stands for."""
        resolved = await tag_service.resolve(request.names, self._database)
        return pb.ResolveTagsResponse(resolved=map(tags.resolved_message, resolved))

    async def MergeTags(self, request: pb.MergeTagsRequest, _context: Context) -> pb.MergeTagsResponse:
        """Merges a tag into another one, whose alias it becomes."""
        return await self._writes.execute(
            request,
            Unprepared(lambda work, _: tag_service.merge(request.source, request.target, work)),
            tags.merged_message,
        )
