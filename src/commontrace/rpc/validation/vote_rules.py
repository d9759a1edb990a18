"""Validation of votes."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from google.protobuf.message import Message

from commontrace.domain import limits
from commontrace.rpc.paging.page_tokens import NEWEST_FIRST
from commontrace.rpc.validation import field_rules as rules
from commontrace.rpc.validation import stored_text_rules as stored
from commontrace.rpc.validation.invalid_request import Violation
from commontrace.v1 import error_reason_pb2 as reasons
from commontrace.v1 import vote_pb2, vote_service_pb2


def cast_vote(request: vote_service_pb2.CastVoteRequest) -> Iterator[Violation]:
    """Yields the violations of a vote."""
    yield from rules.identifier("trace_id", request.trace_id)
    if request.type == vote_pb2.VOTE_TYPE_UNSPECIFIED:
        yield Violation(
            field="type", reason=reasons.ERROR_REASON_FIELD_REQUIRED, message="is required: UP if it worked, else DOWN"
        )
    yield from rules.known_enum("type", request.type, vote_pb2.VoteType)
    yield from _down_reason(request)
    yield from stored.text("comment", request.comment, limits.VOTE_COMMENT_CHARACTERS)
    yield from rules.within("revision", request.revision, 0, limits.REVISIONS)
    yield from rules.optional_identifier("request_id", request.request_id)


def _down_reason(request: vote_service_pb2.CastVoteRequest) -> Iterator[Violation]:
    yield from rules.known_enum("reason", request.reason, vote_pb2.DownReason)
    if request.type == vote_pb2.VOTE_TYPE_DOWN and request.reason == vote_pb2.DOWN_REASON_UNSPECIFIED:
        message = "is required with DOWN: what is wrong with the trace?"
        yield Violation(field="reason", reason=reasons.ERROR_REASON_FIELD_REQUIRED, message=message)
    if request.type == vote_pb2.VOTE_TYPE_UP and request.reason != vote_pb2.DOWN_REASON_UNSPECIFIED:
        message = "says why a vote is DOWN; this one is UP"
        yield Violation(field="reason", reason=reasons.ERROR_REASON_FIELD_NOT_ALLOWED, message=message)


def retract_vote(request: vote_service_pb2.RetractVoteRequest) -> Iterator[Violation]:
    """Yields the violations of a retraction."""
    yield from rules.identifier("trace_id", request.trace_id)
    yield from rules.optional_identifier("request_id", request.request_id)


def get_vote(request: vote_service_pb2.GetVoteRequest) -> Iterator[Violation]:
    """Yields the violations of a request for the caller's vote."""
    yield from rules.identifier("trace_id", request.trace_id)


def list_votes(request: vote_service_pb2.ListVotesRequest) -> Iterator[Violation]:
    """Yields the violations of a request for the votes on a trace."""
    yield from rules.identifier("trace_id", request.trace_id)
    yield from rules.page_size(request.page_size)
    yield from NEWEST_FIRST.violations(request)


RULES: dict[type[Message], Callable[[Any], Iterable[Violation]]] = {
    vote_service_pb2.CastVoteRequest: cast_vote,
    vote_service_pb2.RetractVoteRequest: retract_vote,
    vote_service_pb2.GetVoteRequest: get_vote,
    vote_service_pb2.ListVotesRequest: list_votes,
}
"""The rules of VoteService, by request type."""
