"""Traces change: locks, edits, tallies, deletions, successions."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from commontrace.domain.errors import TraceNotFound
from commontrace.domain.traces.locked_trace import LockedTrace
from commontrace.embeddings.embedder import Embedder, Vector
from commontrace.storage.models import Trace

# Made once: putting a statement together costs more than running it.
_OF_THESE = Trace.id == any_(bindparam("trace_ids", type_=ARRAY(Uuid)))

# NO KEY: what merely refers to the trace, such as its tags, does not wait. A purge alone excludes that, too.
_LOCK = (
    select(*(Trace.__table__.c[name] for name in LockedTrace._fields))
    .where(_OF_THESE)
    .order_by(Trace.id)
    .with_for_update(key_share=True)
)

_HOLD = select(Trace.id).where(_OF_THESE).order_by(Trace.id).with_for_update(read=True, key_share=True)

_SET_VECTOR = (
    update(Trace.__table__)
    .where(Trace.id == bindparam("of_trace"))
    .values(
        embedding=bindparam("vector"),
        embedding_model_id=bindparam("model_id"),
        embedding_model_version=bindparam("model_version"),
    )
)


class TraceChanges:
    """Changes of traces that exist. What is changed must be locked before."""

    def __init__(self, session: AsyncSession) -> None:
        """Takes the session of the unit of work."""
        self._session = session

    async def lock(self, trace_ids: Collection[UUID]) -> dict[UUID, LockedTrace]:
        """Locks those of the traces that exist, deleted ones too, in the order of their ids, and returns them by id.

        Whoever needs several locks them in one call: nobody waits in a circle.
        """
        rows = await self._session.execute(_LOCK, {"trace_ids": list(trace_ids)})
        return {row.id: LockedTrace._make(row) for row in rows}

    async def hold_off_purges(self, trace_ids: Collection[UUID]) -> set[UUID]:
        """Keeps those of the traces that exist from being purged until the transaction ends, and returns them.

        Waits for purges under way, and for nobody else. Rows that refer to traces which this transaction has neither
        inserted nor locked are added, and answers that hold their texts stored, behind this alone.
        """
        return set((await self._session.execute(_HOLD, {"trace_ids": list(trace_ids)})).scalars())

    async def lock_live(self, trace_id: UUID) -> LockedTrace:
        """Locks and returns a trace. Raises TraceNotFound."""
        trace = (await self.lock([trace_id])).get(trace_id)
        if trace is None or trace.deleted_at is not None:
            raise TraceNotFound(trace_id)
        return trace

    async def set(self, trace_id: UUID, values: Mapping[str, Any]) -> None:
        """Sets columns by name.

        Raises ConcurrentChange if the content or the place in a succession is taken meanwhile.
        """
        await self._session.execute(update(Trace.__table__).where(Trace.id == trace_id).values(**values))

    async def touch(self, trace_id: UUID, values: Mapping[str, Any]) -> None:
        """Sets columns by name and the time of the last edit or change of status."""
        await self.set(trace_id, {**values, "updated_at": func.now()})

    async def set_vector(self, trace_id: UUID, vector: Vector, embedder: Embedder) -> None:
        """Lets searches find a trace by this vector of the embedder's. Raises InvalidStoredVector."""
        values = {"vector": vector, "model_id": embedder.model_id, "model_version": embedder.model_version}
        await self._session.execute(_SET_VECTOR, {"of_trace": trace_id, **values})

    async def delete(self, trace_id: UUID) -> None:
        """Makes a trace invisible."""
        await self.set(trace_id, {"deleted_at": func.now()})

    async def undelete(self, trace_id: UUID) -> None:
        """Makes a deleted trace visible again. Raises ConcurrentChange if its content or place is taken meanwhile."""
        await self.set(trace_id, {"deleted_at": None})

    async def hide(self, trace_id: UUID, reason: str) -> None:
        """Says that and why a deleted trace is hidden, and since when, unless it is already."""
        await self.set(trace_id, {"hidden_at": func.coalesce(Trace.hidden_at, func.now()), "hide_reason": reason})

    async def unhide(self, trace_id: UUID) -> None:
        """Says that a trace is not hidden."""
        await self.set(trace_id, {"hidden_at": None, "hide_reason": ""})
