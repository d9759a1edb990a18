"""Which embedding model the database's vectors come from."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.schema import CreateIndex, DropIndex

from commontrace.domain.errors import ModelReplaced
from commontrace.embeddings.embedder import Embedder, Vector
from commontrace.embeddings.model import Model, RecordedModel
from commontrace.storage.models import CREATE_SIGNS_TRIGGER, DROP_SIGNS_TRIGGER, VECTOR_INDEX, EmbeddingModel, Trace
from commontrace.storage.traces.changes import TraceChanges

# Made once: putting a statement together costs more than running it.
_RECORDED = select(EmbeddingModel.id, EmbeddingModel.version, EmbeddingModel.dimensions, EmbeddingModel.is_lexical)


class EmbeddingModelRepository:
    """The record of the current model, and of the next one while the database is being re-encoded."""

    def __init__(self, session: AsyncSession | AsyncConnection) -> None:
        """Takes where to ask."""
        self._session = session

    async def current(self) -> RecordedModel:
        """Returns the model of the stored vectors."""
        row = (await self._session.execute(_RECORDED.where(EmbeddingModel.is_current))).one()
        return _recorded(row)

    async def next(self) -> RecordedModel | None:
        """Returns the model that the database is being re-encoded for, None while it is not."""
        row = (await self._session.execute(_RECORDED.where(~EmbeddingModel.is_current))).one_or_none()
        return None if row is None else _recorded(row)

    async def both(self) -> tuple[RecordedModel, RecordedModel | None]:
        """Returns the current and the next one, as of one moment."""
        rows = (await self._session.execute(_RECORDED.order_by(~EmbeddingModel.is_current))).all()
        [current, *upcoming] = map(_recorded, rows)
        return current, upcoming[0] if upcoming else None

    async def require(self, model: Model) -> None:
        """Raises ModelReplaced unless that is the current model.

        That remains so until the transaction ends if it has locked, added or changed a trace before.
        """
        if not (await self.current()).made_by(model):
            raise ModelReplaced

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
        await execute(text(DROP_SIGNS_TRIGGER))
        await execute(
            text(f"ALTER TABLE traces ALTER COLUMN embedding TYPE vector({embedder.dimensions:d}) USING NULL")
        )
        await execute(text(CREATE_SIGNS_TRIGGER))
        assert isinstance(self._session, AsyncSession)  # noqa: S101 - only units of work change anything
        changes = TraceChanges(self._session)
        for trace_id, vector in vectors.items():
            await changes.set_vector(trace_id, vector, embedder)
        await execute(CreateIndex(VECTOR_INDEX))
        await execute(delete(EmbeddingModel))
        await self.record(embedder, is_current=True)

    async def record(self, model: Model, *, is_current: bool) -> None:
        """Records a model beside those that are recorded."""
        await self._session.execute(
            insert(EmbeddingModel).values(
                id=model.model_id,
                version=model.model_version,
                dimensions=model.dimensions,
                is_lexical=model.is_lexical,
                is_current=is_current,
            )
        )


def _recorded(row: Any) -> RecordedModel:
    return RecordedModel(
        model_id=row.id, model_version=row.version, dimensions=row.dimensions, is_lexical=row.is_lexical
    )
