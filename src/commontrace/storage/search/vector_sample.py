"""Stored vectors at random, for whoever tries out how well the index finds what lies near them."""

from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.embeddings.embedder import Vector
from commontrace.embeddings.model import Model
from commontrace.storage.models import Trace

# The planner's own estimate costs nothing; -1 before anybody has counted.
_ABOUT = text("SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'traces'::regclass")
_FROM_ID = (
    select(Trace.id, Trace.embedding)
    .where(
        Trace.id >= bindparam("least"),
        Trace.deleted_at.is_(None),
        Trace.embedding_model_id == bindparam("model_id"),
        Trace.embedding_model_version == bindparam("model_version"),
    )
    .order_by(Trace.id)
    .limit(1)
)


class StoredVector(NamedTuple):
    """A live trace and its vector of shape (dimensions,)."""

    trace_id: UUID
    vector: Vector


class VectorSample:
    """Questions about the vectors as a whole."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Takes a connection of `Database.read`."""
        self._connection = connection

    async def about_how_many(self) -> int:
        """Returns Postgres's estimate of the rows of `traces`."""
        return int((await self._connection.execute(_ABOUT)).scalar_one())

    async def one(self, model: Model) -> StoredVector | None:
        """Returns the vector of a live trace at random, None where the model has none. Ids are random, mostly."""
        for least in (uuid4(), UUID(int=0)):
            parameters = {"least": least, "model_id": model.model_id, "model_version": model.model_version}
            row = (await self._connection.execute(_FROM_ID, parameters)).first()
            if row is not None:
                return StoredVector._make(row)
        return None
