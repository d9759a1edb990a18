"""Validation of tags."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from google.protobuf.message import Message

from commontrace.core.tags import service as tag_service
from commontrace.domain import limits
from commontrace.domain.text import is_blank
from commontrace.rpc.messages.tags import BY_NAME, is_by_use
from commontrace.rpc.validation import field_rules as rules
from commontrace.rpc.validation import stored_text_rules as stored
from commontrace.rpc.validation.invalid_request import Violation
from commontrace.v1 import error_reason_pb2 as reasons
from commontrace.v1 import tag_service_pb2


def list_tags(request: tag_service_pb2.ListTagsRequest) -> Iterator[Violation]:
    """Yields the violations of a request for a list of tags."""
    yield from rules.stored_text("prefix", request.prefix, limits.TAG_CHARACTERS)
    yield from rules.known_enum("order", request.order, tag_service_pb2.TagOrder)
    yield from rules.page_size(request.page_size)
    if not is_by_use(request.order):
        yield from BY_NAME.violations(request)
    elif request.page_token:
        yield Violation(
            field="page_token",
            reason=reasons.ERROR_REASON_FIELD_NOT_ALLOWED,
            message="is not allowed here: by use, there is one page",
        )


def get_tag(request: tag_service_pb2.GetTagRequest) -> Iterator[Violation]:
    """Yields the violations of a request for one tag."""
    yield from _required_tag("name", request.name, rules.tag)


def update_tag(request: tag_service_pb2.UpdateTagRequest) -> Iterator[Violation]:
    """Yields the violations of an update, in the fields that the mask names."""
    yield from _required_tag("tag.name", request.tag.name, stored.tag)
    yield from rules.update_mask(request.update_mask, tag_service.FIELDS)
    if "description" in request.update_mask.paths:
        description, most = request.tag.description, limits.TAG_DESCRIPTION_CHARACTERS
        yield from stored.text("tag.description", description, most)
    yield from rules.optional_identifier("request_id", request.request_id)


def resolve_tags(request: tag_service_pb2.ResolveTagsRequest) -> Iterator[Violation]:
    """Yields the violations of a request to resolve spellings, without those of the spellings."""
    if not request.names:
        yield Violation(field="names", reason=reasons.ERROR_REASON_FIELD_REQUIRED, message="is required")
    yield from rules.not_longer("names", len(request.names), limits.RESOLVE_TAGS, "names")


def merge_tags(request: tag_service_pb2.MergeTagsRequest) -> Iterator[Violation]:
    """Yields the violations of a merge."""
    yield from _required_tag("source", request.source, stored.tag)
    yield from _required_tag("target", request.target, stored.tag)
    yield from rules.optional_identifier("request_id", request.request_id)


def _required_tag(field: str, given: str, a_tag: Callable[[str, str], Iterable[Violation]]) -> Iterator[Violation]:
    if is_blank(given):
        yield Violation(field=field, reason=reasons.ERROR_REASON_FIELD_REQUIRED, message="is required")
    else:
        yield from a_tag(field, given)


RULES: dict[type[Message], Callable[[Any], Iterable[Violation]]] = {
    tag_service_pb2.ListTagsRequest: list_tags,
    tag_service_pb2.GetTagRequest: get_tag,
    tag_service_pb2.UpdateTagRequest: update_tag,
    tag_service_pb2.ResolveTagsRequest: resolve_tags,
    tag_service_pb2.MergeTagsRequest: merge_tags,
}
"""The rules of TagService, by request type."""
