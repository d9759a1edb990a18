"""Changes of existing traces: locks, edits, tallies, deletion, supersession, moderation."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, String, Uuid, any_, bindparam, func, select, update

from commontrace.domain.errors import TraceNotFound
from commontrace.domain.namespaces.access import ReadableNamespaces
from commontrace.domain.traces.locked_trace import LockedTrace
from commontrace.domain.votes.trust import Standing
from commontrace.embeddings.embedder import Embedder, Vector
from commontrace.storage.driver_statement import DriverStatement
from commontrace.storage.models import Trace
from commontrace.storage.namespaces.readable import READABLE_IDS
from commontrace.storage.transaction import Transaction

# Built once: building a statement costs more than running it.
_OF_THESE = Trace.id == any_(bindparam("trace_ids", type_=ARRAY(Uuid)))

# FOR NO KEY UPDATE: inserts of rows that refer to the trace, such as its tags, do not wait. Only a purge blocks them.
_LOCK_ANYWHERE = (
    select(*(Trace.__table__.c[name] for name in LockedTrace._fields))
    .where(_OF_THESE)
    .order_by(Trace.id)
    .with_for_update(key_share=True)
)
_IN_NAMESPACES = Trace.namespace_id == READABLE_IDS
_LOCK = DriverStatement(_LOCK_ANYWHERE.where(_IN_NAMESPACES))

_BLOCK_PURGES = (
    select(Trace.id).where(_OF_THESE, _IN_NAMESPACES).order_by(Trace.id).with_for_update(read=True, key_share=True)
)

# Functions, which know the present names of the columns (ADR 0061).
_HIDE = select(func.hide_trace(bindparam("of_trace", type_=Uuid), bindparam("reason", type_=String)))
_UNHIDE = select(func.unhide_trace(bindparam("of_trace", type_=Uuid)))

_SET_TALLY = DriverStatement(
    update(Trace.__table__)
    .where(Trace.id == bindparam("of_trace", type_=Uuid))
    .values({name: bindparam(name) for name in ("confirmation_count", "down_count", "trust_score")})
)
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
    """Changes of existing traces in one unit of work, which locks each trace before."""

    def __init__(self, transaction: Transaction, shown_namespace_ids: set[UUID]) -> None:
        self._transaction = transaction
        self._shown_namespace_ids = shown_namespace_ids

    async def lock(self, trace_ids: Collection[UUID], namespaces: ReadableNamespaces) -> dict[UUID, LockedTrace]:
        """Locks the traces that exist, deleted ones too, in the order of their ids, and returns them by id.

        A transaction that needs several locks takes them in one call: otherwise two may deadlock.
        """
        parameters = {"trace_ids": list(trace_ids), "namespace_ids": namespaces.ids}
        locked = [LockedTrace._make(row) for row in await self._transaction.fetch(_LOCK, parameters)]
        self._shown_namespace_ids.update(trace.namespace_id for trace in locked)
        return {trace.id: trace for trace in locked}

    async def lock_anywhere(self, trace_ids: Collection[UUID]) -> dict[UUID, LockedTrace]:
        """Locks the same in any namespace. For work of the service itself, of which no caller reads anything."""
        rows = await self._transaction.execute(_LOCK_ANYWHERE, {"trace_ids": list(trace_ids)})
        return {row.id: LockedTrace._make(row) for row in rows}

    async def block_purges(self, trace_ids: Collection[UUID], namespaces: ReadableNamespaces) -> set[UUID]:
        """Blocks purges of the traces that exist until the transaction ends, and returns their ids.

        Waits for purges in progress, and for nothing else. Required before a transaction adds rows that refer to traces
        which it has neither inserted nor locked, or stores answers that hold their texts.
        """
        parameters = {"trace_ids": list(trace_ids), "namespace_ids": namespaces.ids}
        return set((await self._transaction.execute(_BLOCK_PURGES, parameters)).scalars())

    async def lock_live(self, trace_id: UUID, namespaces: ReadableNamespaces) -> LockedTrace:
        """Locks and returns a live trace. Raises TraceNotFound."""
        trace = (await self.lock([trace_id], namespaces)).get(trace_id)
        if trace is None or trace.deleted_at is not None:
            raise TraceNotFound(trace_id)
        return trace

    async def update(self, trace_id: UUID, values: Mapping[str, Any]) -> None:
        """Sets columns by name.

        Raises ConcurrentChange if another trace has taken the content or supersedes the same trace meanwhile.
        """
        await self._transaction.execute(update(Trace.__table__).where(Trace.id == trace_id).values(**values))

    async def set_tally(self, trace_id: UUID, standing: Standing) -> None:
        """Sets counts and score, which are no edit: the status stays."""
        await self._transaction.fetch(
            _SET_TALLY,
            {
                "of_trace": trace_id,
                "confirmation_count": standing.confirmation_count,
                "down_count": standing.down_count,
                "trust_score": standing.trust_score,
            },
        )

    async def touch(self, trace_id: UUID, values: Mapping[str, Any]) -> None:
        """Sets columns by name, and the time of the last edit or change of status."""
        await self.update(trace_id, {**values, "updated_at": func.now()})

    async def set_vector(self, trace_id: UUID, vector: Vector, embedder: Embedder) -> None:
        """Stores the vector that the embedder has made of a trace. Raises InvalidStoredVector."""
        values = {"vector": vector, "model_id": embedder.model_id, "model_version": embedder.model_version}
        await self._transaction.execute(_SET_VECTOR, {"of_trace": trace_id, **values})

    async def mark_deleted(self, trace_id: UUID) -> None:
        """Marks a trace as deleted: readers no longer find it."""
        await self.update(trace_id, {"deleted_at": func.now()})

    async def restore(self, trace_id: UUID) -> None:
        """Restores a deleted trace. Raises ConcurrentChange as `update` does."""
        await self.update(trace_id, {"deleted_at": None})

    async def hide(self, trace_id: UUID, reason: str) -> None:
        """Marks a deleted trace as hidden, with the reason. The time of an earlier hiding stays."""
        await self._transaction.execute(_HIDE, {"of_trace": trace_id, "reason": reason})

    async def unhide(self, trace_id: UUID) -> None:
        """Removes the mark that a trace is hidden."""
        await self._transaction.execute(_UNHIDE, {"of_trace": trace_id})
