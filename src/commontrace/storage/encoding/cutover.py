"""Cutover: the last step of re-encoding, which puts the next model in the place of the current one (ADR 0020)."""

from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.embeddings.embedder import Embedder, Embedding
from commontrace.storage.encoding.next_embedding import (
    CHECKS,
    NEXT_INDEX,
    RENAMED,
    UnencodedTrace,
    drop_columns,
    list_missing,
    require_next,
    save_embeddings,
)
from commontrace.storage.encoding.table_locks import EXCLUDE_ALL, lock
from commontrace.storage.models import CREATE_SIGNS_TRIGGER, DROP_SIGNS_TRIGGER, VECTOR_INDEX_NAME


class Cutover:
    """Steps under a lock that excludes writers; made by `Reembedding.cutover`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list_missing(self, size: int) -> list[UnencodedTrace]:
        """Returns up to `size` traces that are missing their next vector. The lock keeps further ones out."""
        return await list_missing(self._connection, size)

    async def save_embeddings(self, embeddings: Mapping[UnencodedTrace, Embedding], embedder: Embedder) -> None:
        """Stores next vectors and their tokens. Raises InvalidStoredVector, ModelReplaced."""
        await save_embeddings(self._connection, embeddings, embedder)

    async def swap(self, embedder: Embedder) -> None:
        """Replaces the current column, index and model by the next ones: a change of names, not of rows.

        Raises ModelReplaced if the next model is not the embedder's.
        """
        await require_next(self._connection, embedder)
        run = self._connection.execute
        await lock(self._connection, EXCLUDE_ALL)
        statements = [
            DROP_SIGNS_TRIGGER,
            # Drops the old index and checks and the index of missing vectors as well.
            f"ALTER TABLE traces {drop_columns((*RENAMED, 'next_embedding_revision'))}",
            *(f"ALTER TABLE traces RENAME COLUMN next_{name} TO {name}" for name in RENAMED),
            *(f"ALTER TABLE traces RENAME CONSTRAINT ck_traces_next_{name} TO ck_traces_{name}" for name in CHECKS),
            f"ALTER INDEX {NEXT_INDEX} RENAME TO {VECTOR_INDEX_NAME}",
            CREATE_SIGNS_TRIGGER,
            "ALTER TABLE trace_signs DROP COLUMN signs",
            "ALTER TABLE trace_signs RENAME COLUMN next_signs TO signs",
            "DELETE FROM embedding_models WHERE is_current",
            "UPDATE embedding_models SET is_current = true",
            # Every trace has a vector of the new model.
            "DELETE FROM encoding_jobs",
        ]
        for statement in statements:
            await run(text(statement))
