"""Which embedding model the database's vectors come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, bindparam, delete, exists, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.schema import CreateIndex, DropIndex

from commontrace.embeddings.embedder import Embedder, Vector
from commontrace.storage.models import VECTOR_INDEX, EmbeddingModel, Trace
from commontrace.storage.vector_type import VectorType


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedModel:
    """The model that the database was made for."""

    model_id: str
    model_version: str
    dimensions: int
    is_lexical: bool

    def made_by(self, embedder: Embedder) -> bool:
        """Tells whether the embedder's vectors may stand beside the stored ones."""
        return (self.model_id, self.model_version, self.dimensions) == (
            embedder.model_id,
            embedder.model_version,
            embedder.dimensions,
        )


_CURRENT = select(
    EmbeddingModel.id, EmbeddingModel.version, EmbeddingModel.dimensions, EmbeddingModel.is_lexical
).where(EmbeddingModel.is_current)


class EmbeddingModelRepository:
    """The record of the current model."""

    def __init__(self, session: AsyncSession | AsyncConnection) -> None:
        """Takes where to ask."""
        self._session = session

    async def current(self) -> RecordedModel:
        """Returns the model of the stored vectors."""
        return await self._one(_CURRENT)

    async def hold_current(self) -> RecordedModel:
        """Returns the model of the stored vectors and keeps it from being replaced until the transaction ends."""
        return await self._one(_CURRENT.with_for_update(read=True))

    async def _one(self, query: "Select[str, str, int, bool]") -> RecordedModel:
        row = (await self._session.execute(query)).one()
        return RecordedModel(
            model_id=row.id, model_version=row.version, dimensions=row.dimensions, is_lexical=row.is_lexical
        )

    async def only_seeds(self) -> bool:
        """Tells whether every trace came with the service."""
        contributed = await self._session.execute(select(exists().where(~Trace.is_seed)))
        return not contributed.scalar_one()

    async def replace(self, embedder: Embedder, vectors: Mapping[UUID, Vector]) -> None:
        """Makes `embedder` the current model and `vectors` the traces' vectors by id; others are dropped.

        Locks the table and rebuilds its vector index: for databases that hold little.
        """
        execute = self._session.execute
        await execute(DropIndex(VECTOR_INDEX))
        await execute(update(Trace).values(embedding=None, embedding_model_id=None, embedding_model_version=None))
        await execute(
            text(f"ALTER TABLE traces ALTER COLUMN embedding TYPE vector({embedder.dimensions:d}) USING NULL")
        )
        for trace_id, vector in vectors.items():
            await execute(
                update(Trace)
                .where(Trace.id == trace_id)
                .values(
                    embedding=bindparam("vector", vector, VectorType()),
                    embedding_model_id=embedder.model_id,
                    embedding_model_version=embedder.model_version,
                )
            )
        await execute(CreateIndex(VECTOR_INDEX))
        await execute(delete(EmbeddingModel))
        await execute(
            insert(EmbeddingModel).values(
                id=embedder.model_id,
                version=embedder.model_version,
                dimensions=embedder.dimensions,
                is_lexical=embedder.is_lexical,
                is_current=True,
            )
        )
