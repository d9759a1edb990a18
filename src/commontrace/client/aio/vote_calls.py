"""Calls of VoteService."""

from collections.abc import AsyncIterator
from typing import Literal
from uuid import UUID

from commontrace.client.aio.pages import PagedCalls
from commontrace.client.errors import NotFound
from commontrace.client.requests import request_id_of
from commontrace.v1 import vote_pb2, vote_service_pb2

Verdict = Literal["up", "down"]
DownReason = Literal["outdated", "incorrect", "harmful", "duplicate", "spam"]


class VoteCalls(PagedCalls):
    """Calls of VoteService. Writes take a `request_id` (a UUID, by default a new one), their idempotency key."""

    async def vote(
        self,
        trace_id: str | UUID,
        verdict: Verdict,
        *,
        reason: DownReason | None = None,
        comment: str = "",
        revision: int = 0,
        request_id: str | UUID | None = None,
    ) -> vote_service_pb2.CastVoteResponse:
        """Casts or changes the caller's vote on another user's trace; `down` requires a reason.

        `revision` is the revision that the caller saw; the call fails if it is no longer the current one. 0 stands for
        the current one.
        """
        request = vote_service_pb2.CastVoteRequest(
            trace_id=str(trace_id),
            type=vote_pb2.VoteType.Value(f"VOTE_TYPE_{verdict.upper()}"),
            reason=vote_pb2.DownReason.Value(f"DOWN_REASON_{(reason or 'unspecified').upper()}"),
            comment=comment,
            revision=revision,
            request_id=request_id_of(request_id),
        )
        return await self._call(self._votes.CastVote, request)

    async def retract_vote(self, trace_id: str | UUID, *, request_id: str | UUID | None = None) -> vote_pb2.TraceTally:
        """Deletes the caller's vote and returns the tally without it."""
        request = vote_service_pb2.RetractVoteRequest(trace_id=str(trace_id), request_id=request_id_of(request_id))
        response = await self._call(self._votes.RetractVote, request)
        return response.tally

    async def my_vote(self, trace_id: str | UUID) -> vote_pb2.Vote | None:
        """Returns the caller's vote, None without one."""
        request = vote_service_pb2.GetVoteRequest(trace_id=str(trace_id))
        try:
            response = await self._call(self._votes.GetVote, request)
        except NotFound as failure:
            if failure.reason != "VOTE_NOT_FOUND":
                raise
            return None
        return response.vote

    async def votes(self, trace_id: str | UUID) -> AsyncIterator[vote_pb2.Vote]:
        """Yields all votes on a trace, including those on earlier revisions, newest first."""
        async for page in self._pages(self._votes.ListVotes, vote_service_pb2.ListVotesRequest(trace_id=str(trace_id))):
            for vote in page.votes:
                yield vote
