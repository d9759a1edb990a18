"""Recorded embedding models: the current one, whose vectors the database holds, and the next one (ADR 0002)."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Insert, delete, exists, insert, select, text, update

from commontrace.domain.errors import ModelReplaced
from commontrace.embeddings.embedder import Embedder, Vector
from commontrace.embeddings.model import Model, RecordedModel
from commontrace.storage.executor import Executor
from commontrace.storage.models import (
    CREATE_SIGNS_TRIGGER,
    DROP_SIGNS_TRIGGER,
    VECTOR_INDEX_NAME,
    EmbeddingModel,
    Trace,
    TraceTokens,
)
from commontrace.storage.models.vector_index import create_index_sql
from commontrace.storage.traces.changes import TraceChanges
from commontrace.storage.transaction import Transaction

# Built once: building a statement costs more than running it.
_RECORDED = select(EmbeddingModel.id, EmbeddingModel.version, EmbeddingModel.dimensions, EmbeddingModel.is_lexical)


class EmbeddingModelReader:
    """Read side of the recorded models."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def get_current(self) -> RecordedModel:
        """Returns the model of the stored vectors."""
        row = (await self._executor.execute(_RECORDED.where(EmbeddingModel.is_current))).one()
        return _recorded(row)

    async def get_next(self) -> RecordedModel | None:
        """Returns the model that the database is being re-encoded for, None if there is none."""
        row = (await self._executor.execute(_RECORDED.where(~EmbeddingModel.is_current))).one_or_none()
        return None if row is None else _recorded(row)

    async def get_current_and_next(self) -> tuple[RecordedModel, RecordedModel | None]:
        """Returns the current and the next model, from one snapshot."""
        rows = (await self._executor.execute(_RECORDED.order_by(~EmbeddingModel.is_current))).all()
        [current, *upcoming] = map(_recorded, rows)
        return current, upcoming[0] if upcoming else None

    async def require(self, model: Model) -> None:
        """Raises ModelReplaced unless `model` is the current model.

        It stays current until the transaction ends if the transaction has locked, added or changed a trace before.
        """
        if not (await self.get_current()).made_by(model):
            raise ModelReplaced

    async def has_only_seeds(self) -> bool:
        """Returns whether every trace is a seed, which came with the service."""
        contributed = await self._executor.execute(select(exists().where(~Trace.is_seed)))
        return not contributed.scalar_one()


class EmbeddingModelRepository(EmbeddingModelReader):
    """Recorded models in one unit of work."""

    _executor: Transaction

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)

    async def replace(self, embedder: Embedder, vectors: Mapping[UUID, Vector]) -> None:
        """Makes `embedder` the current model, with `vectors` by trace id; other vectors and all tokens are dropped.

        Locks the table and rebuilds its vector index: for small databases.
        """
        execute = self._executor.execute
        await execute(delete(TraceTokens))
        await execute(text(f"DROP INDEX {VECTOR_INDEX_NAME}"))
        await execute(update(Trace).values(embedding=None, embedding_model_id=None, embedding_model_version=None))
        await execute(text(DROP_SIGNS_TRIGGER))
        await execute(
            text(f"ALTER TABLE traces ALTER COLUMN embedding TYPE vector({embedder.dimensions:d}) USING NULL")
        )
        await execute(text(CREATE_SIGNS_TRIGGER))
        changes = TraceChanges(self._executor, set())
        for trace_id, vector in vectors.items():
            await changes.set_vector(trace_id, vector, embedder)
        await execute(text(create_index_sql(embedder.dimensions)))
        await execute(delete(EmbeddingModel))
        await execute(insert_model(embedder, is_current=True))


def insert_model(model: Model, *, is_current: bool) -> Insert:
    """Returns the statement that records a model beside the recorded ones."""
    return insert(EmbeddingModel).values(
        id=model.model_id,
        version=model.model_version,
        dimensions=model.dimensions,
        is_lexical=model.is_lexical,
        is_current=is_current,
    )


def _recorded(row: Any) -> RecordedModel:
    return RecordedModel(
        model_id=row.id, model_version=row.version, dimensions=row.dimensions, is_lexical=row.is_lexical
    )
