"""TagService: the servicer of the vocabulary of tags (ADR 0010)."""

from commontrace.core.tags import service as tag_service
from commontrace.domain.errors import TagNotFound
from commontrace.domain.tags.names import normalise
from commontrace.rpc.access import CallAccess
from commontrace.rpc.call import Context
from commontrace.rpc.idempotency import IdempotentWrites, Unprepared
from commontrace.rpc.messages import tags
from commontrace.storage.database import Database
from commontrace.v1 import tag_service_pb2 as pb
from commontrace.v1 import tag_service_pb2_grpc


class TagServicer(tag_service_pb2_grpc.TagServiceServicer):
    """TagService."""

    def __init__(self, database: Database, writes: IdempotentWrites, access: CallAccess) -> None:
        self._database = database
        self._access = access
        self._writes = writes

    async def ListTags(self, request: pb.ListTagsRequest, _context: Context) -> pb.ListTagsResponse:
        """Returns a page of tags by name, or the most used ones."""
        query, namespaces = tags.tag_query(request), (await self._access.resolve()).readable
        rows = await self._database.read(lambda reading: reading.tag_listing.list(query, namespaces))
        return tags.page_message(rows, request)

    async def GetTag(self, request: pb.GetTagRequest, _context: Context) -> pb.GetTagResponse:
        """Returns one tag, by its name or an alias."""
        name, namespaces = normalise(request.name), (await self._access.resolve()).readable
        tag = await self._database.read(lambda reading: reading.tag_listing.get(name, namespaces))
        if tag is None:
            raise TagNotFound(name)
        return pb.GetTagResponse(tag=tags.tag_message(tag))

    async def UpdateTag(self, request: pb.UpdateTagRequest, _context: Context) -> pb.UpdateTagResponse:
        """Changes the description of a tag, or whether it is curated."""
        namespaces = (await self._access.resolve()).readable
        return await self._writes.execute(
            request,
            Unprepared(lambda work, _: tag_service.update(request.tag.name, tags.changes(request), namespaces, work)),
            lambda tag: pb.UpdateTagResponse(tag=tags.tag_message(tag)),
        )

    async def ResolveTags(self, request: pb.ResolveTagsRequest, _context: Context) -> pb.ResolveTagsResponse:
        """Returns the tag that each spelling stands for."""
        namespaces = (await self._access.resolve()).readable
        resolved = await tag_service.resolve(request.names, namespaces, self._database)
        return pb.ResolveTagsResponse(resolved=map(tags.resolved_message, resolved))

    async def MergeTags(self, request: pb.MergeTagsRequest, _context: Context) -> pb.MergeTagsResponse:
        """Merges a tag into another one, whose alias it becomes."""
        namespaces = (await self._access.resolve()).readable
        return await self._writes.execute(
            request,
            Unprepared(lambda work, _: tag_service.merge(request.source, request.target, namespaces, work)),
            tags.merged_message,
        )
