"""VoteService: the servicer of votes on traces (ADR 0009)."""

from uuid import UUID

from commontrace.core.votes import service as vote_service
from commontrace.rpc.access import CallAccess
from commontrace.rpc.call import Context, current_caller
from commontrace.rpc.idempotency import IdempotentWrites, Unprepared
from commontrace.rpc.messages import votes
from commontrace.rpc.paging.page_tokens import NEWEST_FIRST, page_size
from commontrace.storage.database import Database
from commontrace.v1 import vote_service_pb2 as pb
from commontrace.v1 import vote_service_pb2_grpc


class VoteServicer(vote_service_pb2_grpc.VoteServiceServicer):
    """VoteService. `validation_threshold` is how many UP votes validate a trace."""

    def __init__(
        self, database: Database, writes: IdempotentWrites, access: CallAccess, *, validation_threshold: int
    ) -> None:
        self._database = database
        self._access = access
        self._writes = writes
        self._validation_threshold = validation_threshold

    async def CastVote(self, request: pb.CastVoteRequest, _context: Context) -> pb.CastVoteResponse:
        """Stores or replaces the caller's vote."""
        ballot, access = votes.ballot(request), await self._access.resolve()
        return await self._writes.execute(
            request,
            Unprepared(
                lambda work, caller_id: vote_service.cast(
                    ballot, work, caller_id, access, validation_threshold=self._validation_threshold
                )
            ),
            lambda cast: pb.CastVoteResponse(vote=votes.vote_message(cast[0]), tally=votes.tally_message(cast[1])),
        )

    async def RetractVote(self, request: pb.RetractVoteRequest, _context: Context) -> pb.RetractVoteResponse:
        """Deletes the caller's vote."""
        trace_id, access = UUID(request.trace_id), await self._access.resolve()
        return await self._writes.execute(
            request,
            Unprepared(
                lambda work, caller_id: vote_service.retract(
                    trace_id, work, caller_id, access, validation_threshold=self._validation_threshold
                )
            ),
            lambda counted: pb.RetractVoteResponse(tally=votes.tally_message(counted)),
        )

    async def GetVote(self, request: pb.GetVoteRequest, _context: Context) -> pb.GetVoteResponse:
        """Returns the caller's vote."""
        email, trace_id = current_caller().email, UUID(request.trace_id)
        namespaces = (await self._access.resolve()).readable
        vote = await self._database.read(lambda reading: vote_service.get_vote(email, trace_id, namespaces, reading))
        return pb.GetVoteResponse(vote=votes.vote_message(vote))

    async def ListVotes(self, request: pb.ListVotesRequest, _context: Context) -> pb.ListVotesResponse:
        """Returns a page of the votes on a trace, newest first."""
        trace_id, after, size = UUID(request.trace_id), NEWEST_FIRST.position(request), page_size(request.page_size)
        namespaces = (await self._access.resolve()).readable
        # One more than the page has shows whether another page follows.
        rows = await self._database.read(
            lambda reading: vote_service.list_votes(trace_id, namespaces, reading, after=after, size=size + 1)
        )
        return votes.page_message(request, rows, size)
