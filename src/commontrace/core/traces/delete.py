"""Deleting a trace and bringing it back."""

from uuid import UUID

from commontrace.core.traces.preconditions import require_etag, require_new_content, require_owner
from commontrace.domain.errors import AlreadySuperseded, TraceHidden, TraceNotFound
from commontrace.domain.events.event_types import DELETED, SUPERSEDED, UNDELETED, UPDATED
from commontrace.domain.traces.locked_trace import LockedTrace
from commontrace.storage.traces.repository import TraceRow
from commontrace.storage.unit_of_work import UnitOfWork


async def delete(trace_id: UUID, etag: str, work: UnitOfWork, caller_id: UUID) -> TraceRow:
    """Deletes the caller's trace and returns it. Raises TraceNotFound, NotOwner, StaleEtag."""
    trace, replaced = await lock_with_replaced(trace_id, work)
    if trace.deleted_at is not None:
        raise TraceNotFound(trace_id)
    require_owner(trace, caller_id)
    require_etag(trace, etag)
    await mark_deleted(trace, replaced, work)
    return await work.traces.get_even_deleted(trace_id)


async def undelete(trace_id: UUID, work: UnitOfWork, caller_id: UUID) -> TraceRow:
    """Brings the caller's trace back and returns it.

    Raises TraceNotFound, NotOwner, TraceHidden, DuplicateTrace, AlreadySuperseded.
    """
    trace, replaced = await lock_with_replaced(trace_id, work)
    require_owner(trace, caller_id)
    if trace.hidden_at is not None:
        raise TraceHidden(trace_id)
    if trace.deleted_at is not None:
        await restore(trace, replaced, work)
    return await work.traces.get_even_deleted(trace_id)


async def mark_deleted(trace: LockedTrace, replaced: LockedTrace | None, work: UnitOfWork) -> None:
    """Deletes a live trace; the one that it replaces is found again."""
    await work.trace_changes.delete(trace.id)
    await work.events.add(trace.id, DELETED, revision=trace.revision)
    if replaced is not None and replaced.superseded_by_id == trace.id:
        await work.trace_changes.set(replaced.id, {"superseded_by_id": None})
        await work.events.add(replaced.id, UPDATED, revision=replaced.revision)


async def restore(trace: LockedTrace, replaced: LockedTrace | None, work: UnitOfWork) -> None:
    """Makes a deleted trace live again. Raises DuplicateTrace, AlreadySuperseded."""
    if trace.content_hash is not None:
        await require_new_content(trace.content_hash, trace.id, work)
    if replaced is not None:
        if replaced.superseded_by_id is not None:
            raise AlreadySuperseded(replaced.id, replaced.superseded_by_id)
        await work.trace_changes.set(replaced.id, {"superseded_by_id": trace.id})
        await work.events.add(replaced.id, SUPERSEDED, revision=replaced.revision)
    await work.trace_changes.undelete(trace.id)
    await work.events.add(trace.id, UNDELETED, revision=trace.revision)


async def lock_with_replaced(trace_id: UUID, work: UnitOfWork) -> tuple[LockedTrace, LockedTrace | None]:
    """Locks the trace and the one it replaces, if any, which are to be changed. Raises TraceNotFound."""
    replaced_id = await work.traces.replaced_by(trace_id)
    locked = await work.trace_changes.lock([trace_id] if replaced_id is None else [trace_id, replaced_id])
    if trace_id not in locked:
        raise TraceNotFound(trace_id)
    # Whatever was replaced may have been purged meanwhile.
    replaced = None if replaced_id is None else locked.get(replaced_id)
    if replaced is not None:
        # A merge could lock the signs of the two in the other order.
        await work.tags.hold_off_merges()
    return locked[trace_id], replaced
