"""Translation of votes and tallies."""

from collections.abc import Sequence
from uuid import UUID

from commontrace.core.votes.service import TraceStanding
from commontrace.domain.votes.ballot import DOWN, UP, Ballot
from commontrace.rpc.messages.timestamps import timestamp
from commontrace.rpc.messages.traces import STATUS
from commontrace.rpc.paging.page_tokens import NEWEST_FIRST
from commontrace.rpc.paging.pages import first_that_fit
from commontrace.storage.keyset import Cursor
from commontrace.storage.votes.repository import VoteRow
from commontrace.v1 import vote_pb2, vote_service_pb2

_TYPE = {vote_pb2.VOTE_TYPE_UP: UP, vote_pb2.VOTE_TYPE_DOWN: DOWN}
_REASON = {
    vote_pb2.DOWN_REASON_UNSPECIFIED: None,
    vote_pb2.DOWN_REASON_OUTDATED: "outdated",
    vote_pb2.DOWN_REASON_INCORRECT: "incorrect",
    vote_pb2.DOWN_REASON_HARMFUL: "harmful",
    vote_pb2.DOWN_REASON_DUPLICATE: "duplicate",
    vote_pb2.DOWN_REASON_SPAM: "spam",
}
_STORED_TYPE = {stored: message for message, stored in _TYPE.items()}
_STORED_REASON = {stored: message for message, stored in _REASON.items()}


def ballot(request: vote_service_pb2.CastVoteRequest) -> Ballot:
    """Returns the ballot of a valid request."""
    return Ballot(
        trace_id=UUID(request.trace_id),
        vote_type=_TYPE[request.type],
        reason=_REASON[request.reason],
        comment=request.comment,
        revision=request.revision or None,
    )


def vote_message(vote: VoteRow) -> vote_pb2.Vote:
    """Returns the message of a stored vote."""
    return vote_pb2.Vote(
        trace_id=str(vote.trace_id),
        voter_id=str(vote.voter_id),
        type=_STORED_TYPE[vote.vote_type],
        reason=_STORED_REASON[vote.reason],
        comment=vote.comment,
        revision=vote.revision,
        create_time=timestamp(vote.created_at),
        update_time=timestamp(vote.updated_at),
        voter_name=vote.voter_name,
    )


def tally_message(counted: TraceStanding) -> vote_pb2.TraceTally:
    """Returns the message of the tally of a trace."""
    return vote_pb2.TraceTally(
        trace_id=str(counted.trace_id),
        revision=counted.revision,
        confirmation_count=counted.standing.confirmation_count,
        down_count=counted.standing.down_count,
        trust_score=counted.standing.trust_score,
        status=STATUS[counted.standing.status],
    )


def page_message(
    request: vote_service_pb2.ListVotesRequest, rows: Sequence[VoteRow], size: int
) -> vote_service_pb2.ListVotesResponse:
    """Returns a page of at most `size` votes, as far as they fit, and the token of the next one if votes are left."""
    votes = first_that_fit(map(vote_message, rows[:size]))
    response = vote_service_pb2.ListVotesResponse(votes=votes)
    if len(votes) < len(rows):
        last = rows[len(votes) - 1]
        response.next_page_token = NEWEST_FIRST.token(request, Cursor(last.created_at, last.id))
    return response
