"""Voting on a trace until it is validated, and taking a vote back."""

from collections.abc import Sequence
from uuid import uuid4

import grpc

from commontrace.v1 import trace_pb2, vote_pb2, vote_service_pb2
from tests.compatibility.previous_stubs.user import User, failure


async def check_votes(trace_id: str, *, owner: User, voters: Sequence[User]) -> None:
    """Validates a trace of the owner's by two voters, the second of whom thinks better of it."""
    for count, voter in enumerate(voters, start=1):
        cast = await voter.votes.CastVote(
            vote_service_pb2.CastVoteRequest(
                trace_id=trace_id, type=vote_pb2.VOTE_TYPE_UP, comment="It worked.", revision=1, request_id=str(uuid4())
            )
        )
        assert (cast.vote.trace_id, cast.vote.type, cast.vote.revision) == (trace_id, vote_pb2.VOTE_TYPE_UP, 1)
        assert (cast.tally.confirmation_count, cast.tally.down_count) == (count, 0), cast.tally
    assert cast.tally.status == trace_pb2.TRACE_STATUS_VALIDATED, cast.tally
    assert 0 < cast.tally.trust_score < 1
    own = vote_service_pb2.CastVoteRequest(trace_id=trace_id, type=vote_pb2.VOTE_TYPE_UP)
    assert await failure(owner.votes.CastVote(own)) == grpc.StatusCode.FAILED_PRECONDITION

    listed = await owner.votes.ListVotes(vote_service_pb2.ListVotesRequest(trace_id=trace_id))
    assert [vote.comment for vote in listed.votes] == ["It worked.", "It worked."]
    assert listed.votes[0].voter_id == cast.vote.voter_id, "the newest comes first"

    against = await voters[-1].votes.CastVote(
        vote_service_pb2.CastVoteRequest(
            trace_id=trace_id, type=vote_pb2.VOTE_TYPE_DOWN, reason=vote_pb2.DOWN_REASON_OUTDATED
        )
    )
    assert (against.tally.confirmation_count, against.tally.down_count) == (1, 1)
    assert against.tally.status == trace_pb2.TRACE_STATUS_PENDING
    got = await voters[-1].votes.GetVote(vote_service_pb2.GetVoteRequest(trace_id=trace_id))
    assert got.vote == against.vote
    assert got.vote.reason == vote_pb2.DOWN_REASON_OUTDATED
    retracted = await voters[-1].votes.RetractVote(vote_service_pb2.RetractVoteRequest(trace_id=trace_id))
    assert (retracted.tally.confirmation_count, retracted.tally.down_count) == (1, 0)
    gone = voters[-1].votes.GetVote(vote_service_pb2.GetVoteRequest(trace_id=trace_id))
    assert await failure(gone) == grpc.StatusCode.NOT_FOUND
