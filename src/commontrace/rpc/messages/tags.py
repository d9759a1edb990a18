"""Translation of tags."""

from collections.abc import Sequence
from typing import Any

from commontrace.core.tags.service import MergedTags, ResolvedTag
from commontrace.domain import limits
from commontrace.domain.tags.names import folded, starter_spellings
from commontrace.rpc.messages.timestamps import timestamp
from commontrace.rpc.paging.page_tokens import by_text, page_size
from commontrace.rpc.paging.pages import first_that_fit
from commontrace.storage.tags.listing import TagQuery, TagRow
from commontrace.v1 import tag_pb2, tag_service_pb2

BY_NAME = by_text(limits.TAG_CHARACTERS)
"""Page tokens of lists by name."""


def tag_message(tag: TagRow) -> tag_pb2.Tag:
    """Returns the message of a stored tag."""
    return tag_pb2.Tag(
        name=tag.name,
        description=tag.description,
        is_curated=tag.is_curated,
        trace_count=tag.trace_count,
        # The starter spellings of an alias are spellings of the tag.
        aliases=sorted({*tag.aliases, *starter_spellings([tag.name, *tag.aliases])}),
        create_time=timestamp(tag.created_at),
    )


def tag_query(request: tag_service_pb2.ListTagsRequest) -> TagQuery:
    """Returns the query of a valid request. By name, one tag more than the page shows whether more follow."""
    size, by_use = page_size(request.page_size), is_by_use(request.order)
    return TagQuery(
        prefix=folded(request.prefix),
        curated_only=request.curated_only,
        by_use=by_use,
        after=BY_NAME.position(request),
        size=size if by_use else size + 1,
    )


def is_by_use(order: tag_service_pb2.TagOrder.ValueType) -> bool:
    """Tells whether the order is by use, which has one page."""
    return order == tag_service_pb2.TAG_ORDER_USE


def page_message(rows: Sequence[TagRow], request: tag_service_pb2.ListTagsRequest) -> tag_service_pb2.ListTagsResponse:
    """Returns the page: as many tags as it may have and as fit, and the token of the next one if tags are left."""
    tags = first_that_fit(map(tag_message, rows[: page_size(request.page_size)]))
    response = tag_service_pb2.ListTagsResponse(tags=tags)
    if len(tags) < len(rows) and not is_by_use(request.order):
        response.next_page_token = BY_NAME.token(request, tags[-1].name)
    return response


def changes(request: tag_service_pb2.UpdateTagRequest) -> dict[str, Any]:
    """Returns the new values of a valid request, by field."""
    return {path: getattr(request.tag, path) for path in request.update_mask.paths}


def resolved_message(resolved: ResolvedTag) -> tag_service_pb2.ResolvedTag:
    """Returns the message of a resolved spelling."""
    state = tag_service_pb2.TAG_STATE_EXISTING if resolved.is_known else tag_service_pb2.TAG_STATE_NEW
    return tag_service_pb2.ResolvedTag(
        given=resolved.spelling[: limits.RESOLVED_CHARACTERS],
        name=resolved.name,
        state=tag_service_pb2.TAG_STATE_INVALID if resolved.problem else state,
        is_normalised=bool(resolved.name) and resolved.name != resolved.spelling,
        alias=resolved.alias,
        problem=resolved.problem,
    )


def merged_message(merged: MergedTags) -> tag_service_pb2.MergeTagsResponse:
    """Returns the response to a merge."""
    return tag_service_pb2.MergeTagsResponse(tag=tag_message(merged.tag), moved_trace_count=merged.moved_trace_count)
