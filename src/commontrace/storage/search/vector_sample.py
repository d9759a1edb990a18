"""Random sample of stored vectors, by which the recall of the vector index is measured."""

from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.embeddings.embedder import Vector
from commontrace.embeddings.model import Model
from commontrace.storage.models import Trace

# The planner's estimate, which costs nothing to read; -1 before the first ANALYZE.
_TRACE_COUNT_ESTIMATE = text("SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'traces'::regclass")
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
    """Samples of the stored vectors."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def estimate_trace_count(self) -> int:
        """Returns Postgres's estimate of the rows of `traces`."""
        return int((await self._connection.execute(_TRACE_COUNT_ESTIMATE)).scalar_one())

    async def find_random(self, model: Model) -> StoredVector | None:
        """Returns the vector of a random live trace, None where the model has none."""
        # Ids are random, mostly: the next id after a random one is a random trace.
        for least in (uuid4(), UUID(int=0)):
            parameters = {"least": least, "model_id": model.model_id, "model_version": model.model_version}
            row = (await self._connection.execute(_FROM_ID, parameters)).first()
            if row is not None:
                return StoredVector._make(row)
        return None
