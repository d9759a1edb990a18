"""VoteService: unpack, one call, pack."""

from uuid import UUID

from commontrace.core.votes import service as voting
from commontrace.rpc.call import Context, current_caller
from commontrace.rpc.idempotency import IdempotentWrites
from commontrace.rpc.messages import votes
from commontrace.rpc.paging.page_tokens import NEWEST_FIRST, page_size
from commontrace.storage.database import Database
from commontrace.storage.unit_of_work import UnitOfWork
from commontrace.v1 import vote_service_pb2, vote_service_pb2_grpc


class VoteServicer(vote_service_pb2_grpc.VoteServiceServicer):
    """Confirms traces and contradicts them."""

    def __init__(self, database: Database, writes: IdempotentWrites, *, validation_threshold: int) -> None:
        """Takes where votes are stored, and the UP votes from which on a trace can be validated."""
        self._database = database
        self._writes = writes
        self._validation_threshold = validation_threshold

    async def CastVote(
        self, request: vote_service_pb2.CastVoteRequest, _context: Context
    ) -> vote_service_pb2.CastVoteResponse:
        """Stores or changes the caller's vote."""

        async def write(work: UnitOfWork, caller_id: UUID) -> vote_service_pb2.CastVoteResponse:
            vote, counted = await voting.cast(
                votes.ballot(request), work, caller_id, validation_threshold=self._validation_threshold
            )
            return vote_service_pb2.CastVoteResponse(vote=votes.vote_message(vote), tally=votes.tally_message(counted))

        return await self._writes.answer(request, vote_service_pb2.CastVoteResponse, write)

    async def RetractVote(
        self, request: vote_service_pb2.RetractVoteRequest, _context: Context
    ) -> vote_service_pb2.RetractVoteResponse:
        """Takes the caller's vote back."""

        async def write(work: UnitOfWork, caller_id: UUID) -> vote_service_pb2.RetractVoteResponse:
            counted = await voting.retract(
                UUID(request.trace_id), work, caller_id, validation_threshold=self._validation_threshold
            )
            return vote_service_pb2.RetractVoteResponse(tally=votes.tally_message(counted))

        return await self._writes.answer(request, vote_service_pb2.RetractVoteResponse, write)

    async def GetVote(
        self, request: vote_service_pb2.GetVoteRequest, _context: Context
    ) -> vote_service_pb2.GetVoteResponse:
        """Returns the caller's vote."""
        email, trace_id = current_caller().email, UUID(request.trace_id)
        vote = await self._database.read(lambda reading: voting.get_vote(email, trace_id, reading))
        return vote_service_pb2.GetVoteResponse(vote=votes.vote_message(vote))

    async def ListVotes(
        self, request: vote_service_pb2.ListVotesRequest, _context: Context
    ) -> vote_service_pb2.ListVotesResponse:
        """Returns a page of the votes on a trace."""
        trace_id, after, size = UUID(request.trace_id), NEWEST_FIRST.position(request), page_size(request.page_size)
        # One more than asked for tells whether another page follows.
        found = await self._database.read(
            lambda reading: voting.list_votes(trace_id, reading, after=after, size=size + 1)
        )
        return votes.page_message(request, found, size)
