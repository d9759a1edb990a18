"""VoteService: unpack, one call, pack."""

from commontrace.rpc.writes import Writes
from commontrace.storage.database import Database
from commontrace.v1 import vote_service_pb2_grpc


class VoteServicer(vote_service_pb2_grpc.VoteServiceServicer):
    """Confirms traces and contradicts them."""

    def __init__(self, database: Database, writes: Writes, *, validation_threshold: int) -> None:
        """Takes where votes are stored, and the UP votes from which on a trace can be validated."""
        self._database = database
        self._writes = writes
        self._validation_threshold = validation_threshold
