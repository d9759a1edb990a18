"""Ways of VoteService and TagService."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.domain.namespaces.namespace import Role
from commontrace.v1 import tag_pb2, vote_pb2
from commontrace.v1 import tag_service_pb2 as tag_service
from commontrace.v1 import vote_service_pb2 as vote_service
from tests.contract.errors.error_row import (
    CAST_VOTE,
    GET_TAG,
    GET_VOTE,
    LIST_TAGS,
    LIST_VOTES,
    MERGE_TAGS,
    RESOLVE_TAGS,
    RETRACT_VOTE,
    UPDATE_TAG,
)
from tests.contract.namespaces.way import Way
from tests.contract.namespaces.world import Subject

VOTES = (
    Way(
        rpc=CAST_VOTE,
        name="id",
        fields=("trace_id",),
        request=lambda subject, _: vote_service.CastVoteRequest(trace_id=subject.trace_id, type=vote_pb2.VOTE_TYPE_UP),
        needed=Role.WRITER,
    ),
    Way(
        rpc=CAST_VOTE,
        name="the caller's own trace",
        fields=("trace_id",),
        subject="own",
        request=lambda subject, _: vote_service.CastVoteRequest(trace_id=subject.trace_id, type=vote_pb2.VOTE_TYPE_UP),
        needed=Role.WRITER,
        granted="OWN_TRACE",
    ),
    Way(
        rpc=RETRACT_VOTE,
        name="id",
        fields=("trace_id",),
        subject="voted",
        request=lambda subject, _: vote_service.RetractVoteRequest(trace_id=subject.trace_id),
        needed=Role.WRITER,
    ),
    Way(
        rpc=GET_VOTE,
        name="id",
        fields=("trace_id",),
        subject="voted",
        request=lambda subject, _: vote_service.GetVoteRequest(trace_id=subject.trace_id),
    ),
    Way(
        rpc=GET_VOTE,
        name="without a vote",
        fields=("trace_id",),
        request=lambda subject, _: vote_service.GetVoteRequest(trace_id=subject.trace_id),
        granted="VOTE_NOT_FOUND",
    ),
    Way(
        rpc=LIST_VOTES,
        name="id",
        fields=("trace_id",),
        subject="voted",
        request=lambda subject, _: vote_service.ListVotesRequest(trace_id=subject.trace_id),
    ),
)


def _lists_tag(responses: Sequence[Any], subject: Subject) -> bool:
    return any(tag.name == subject.tag for tag in responses[0].tags)


TAGS = (
    Way(
        rpc=LIST_TAGS,
        name="prefix",
        fields=("prefix",),
        request=lambda subject, _: tag_service.ListTagsRequest(prefix=subject.tag[:-1]),
        hidden="OK",
        shows=_lists_tag,
    ),
    Way(
        rpc=LIST_TAGS,
        name="by use",
        fields=(),
        request=lambda _, __: tag_service.ListTagsRequest(order=tag_service.TAG_ORDER_USE, page_size=500),
        hidden="OK",
        compared_with="purged",
    ),
    Way(
        rpc=GET_TAG,
        name="name",
        fields=("name",),
        request=lambda subject, _: tag_service.GetTagRequest(name=subject.tag),
        hidden="TAG_NOT_FOUND",
    ),
    Way(
        rpc=UPDATE_TAG,
        name="name",
        fields=("tag.name",),
        request=lambda subject, _: tag_service.UpdateTagRequest(
            tag=tag_pb2.Tag(name=subject.tag, description="a tag"), update_mask=FieldMask(paths=["description"])
        ),
        hidden="TAG_NOT_FOUND",
    ),
    Way(
        rpc=RESOLVE_TAGS,
        name="name",
        fields=("names",),
        request=lambda subject, _: tag_service.ResolveTagsRequest(names=[subject.tag]),
        hidden="OK",
        shows=lambda responses, _: responses[0].resolved[0].state == tag_service.TAG_STATE_EXISTING,
    ),
    Way(
        rpc=MERGE_TAGS,
        name="source",
        fields=("source",),
        request=lambda subject, seat: tag_service.MergeTagsRequest(
            source=subject.tag, target=f"into-{subject.word}-{seat.email.partition('@')[0]}"
        ),
        hidden="OK",
        shows=lambda responses, _: responses[0].moved_trace_count > 0,
    ),
    Way(
        rpc=MERGE_TAGS,
        name="target",
        fields=("target",),
        request=lambda subject, seat: tag_service.MergeTagsRequest(
            source=f"from-{subject.word}-{seat.email.partition('@')[0]}", target=subject.tag
        ),
        hidden="OK",
        shows=lambda responses, _: responses[0].tag.trace_count > 0,
    ),
)
