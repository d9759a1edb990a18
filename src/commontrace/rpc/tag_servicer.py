"""TagService: unpack, one call, pack."""

from commontrace.rpc.writes import Writes
from commontrace.storage.database import Database
from commontrace.v1 import tag_service_pb2_grpc


class TagServicer(tag_service_pb2_grpc.TagServiceServicer):
    """Keeps the vocabulary of tags."""

    def __init__(self, database: Database, writes: Writes) -> None:
        """Takes where tags are stored."""
        self._database = database
        self._writes = writes
