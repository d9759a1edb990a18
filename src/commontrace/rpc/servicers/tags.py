"""TagService: unpack, one call, pack."""

from uuid import UUID

from commontrace.core.tags import service as tagging
from commontrace.domain.errors import TagNotFound
from commontrace.domain.tags.names import normalise
from commontrace.rpc.call import Context
from commontrace.rpc.idempotency import IdempotentWrites
from commontrace.rpc.messages import tags
from commontrace.storage.database import Database
from commontrace.storage.unit_of_work import UnitOfWork
from commontrace.v1 import tag_service_pb2, tag_service_pb2_grpc


class TagServicer(tag_service_pb2_grpc.TagServiceServicer):
    """Keeps the vocabulary of tags."""

    def __init__(self, database: Database, writes: IdempotentWrites) -> None:
        """Takes where tags are stored."""
        self._database = database
        self._writes = writes

    async def ListTags(
        self, request: tag_service_pb2.ListTagsRequest, _context: Context
    ) -> tag_service_pb2.ListTagsResponse:
        """Lists tags."""
        query = tags.tag_query(request)
        rows = await self._database.read(lambda reading: reading.tag_listing.list(query))
        return tags.page_message(rows, request)

    async def GetTag(self, request: tag_service_pb2.GetTagRequest, _context: Context) -> tag_service_pb2.GetTagResponse:
        """Returns one tag."""
        name = normalise(request.name)
        tag = await self._database.read(lambda reading: reading.tag_listing.get(name))
        if tag is None:
            raise TagNotFound(name)
        return tag_service_pb2.GetTagResponse(tag=tags.tag_message(tag))

    async def UpdateTag(
        self, request: tag_service_pb2.UpdateTagRequest, _context: Context
    ) -> tag_service_pb2.UpdateTagResponse:
        """Changes what is said of a tag."""

        async def write(work: UnitOfWork, _caller_id: UUID) -> tag_service_pb2.UpdateTagResponse:
            tag = await tagging.update(request.tag.name, tags.changes(request), work)
            return tag_service_pb2.UpdateTagResponse(tag=tags.tag_message(tag))

        return await self._writes.answer(request, tag_service_pb2.UpdateTagResponse, write)

    async def ResolveTags(
        self, request: tag_service_pb2.ResolveTagsRequest, _context: Context
    ) -> tag_service_pb2.ResolveTagsResponse:
        """Tells what spellings stand for."""
        resolved = await tagging.resolve(request.names, self._database)
        return tag_service_pb2.ResolveTagsResponse(resolved=map(tags.resolved_message, resolved))

    async def MergeTags(
        self, request: tag_service_pb2.MergeTagsRequest, _context: Context
    ) -> tag_service_pb2.MergeTagsResponse:
        """Makes two tags one."""

        async def write(work: UnitOfWork, _caller_id: UUID) -> tag_service_pb2.MergeTagsResponse:
            return tags.merged_message(await tagging.merge(request.source, request.target, work))

        return await self._writes.answer(request, tag_service_pb2.MergeTagsResponse, write)
