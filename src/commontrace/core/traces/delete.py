"""Deleting and undeleting traces, with the trace that they supersede (ADR 0008)."""

from uuid import UUID

from commontrace.core.events.trace_events import add_event
from commontrace.core.traces.preconditions import require_etag, require_new_content, require_owner
from commontrace.domain.errors import AlreadySuperseded, TraceHidden, TraceNotFound
from commontrace.domain.events.event_types import DELETED, SUPERSEDED, UNDELETED, UPDATED
from commontrace.domain.namespaces.access import NamespaceAccess
from commontrace.domain.namespaces.namespace import Role
from commontrace.domain.traces.locked_trace import LockedTrace
from commontrace.storage.traces.repository import TraceRow
from commontrace.storage.unit_of_work import UnitOfWork


async def delete(trace_id: UUID, etag: str, work: UnitOfWork, caller_id: UUID, access: NamespaceAccess) -> TraceRow:
    """Deletes the caller's trace and returns it. Raises TraceNotFound, NamespaceForbidden, NotOwner, StaleEtag."""
    trace, superseded = await lock_with_superseded(trace_id, work, access, needed=Role.WRITER)
    if trace.deleted_at is not None:
        raise TraceNotFound(trace_id)
    require_owner(trace, caller_id)
    require_etag(trace, etag)
    await mark_deleted(trace, superseded, work)
    return await work.traces.get_including_deleted(trace_id, access.readable)


async def undelete(trace_id: UUID, work: UnitOfWork, caller_id: UUID, access: NamespaceAccess) -> TraceRow:
    """Undeletes the caller's trace and returns it.

    Raises TraceNotFound, NamespaceForbidden, NotOwner, TraceHidden, DuplicateTrace, AlreadySuperseded.
    """
    trace, superseded = await lock_with_superseded(trace_id, work, access, needed=Role.WRITER)
    require_owner(trace, caller_id)
    if trace.hidden_at is not None:
        raise TraceHidden(trace_id)
    if trace.deleted_at is not None:
        await restore(trace, superseded, work)
    return await work.traces.get_including_deleted(trace_id, access.readable)


async def mark_deleted(trace: LockedTrace, superseded: LockedTrace | None, work: UnitOfWork) -> None:
    """Deletes a live trace; the one that it supersedes is found by searches again."""
    await work.trace_changes.mark_deleted(trace.id)
    await add_event(trace, DELETED, work)
    if superseded is not None and superseded.superseded_by_id == trace.id:
        await work.trace_changes.update(superseded.id, {"superseded_by_id": None})
        await add_event(superseded, UPDATED, work)


async def restore(trace: LockedTrace, superseded: LockedTrace | None, work: UnitOfWork) -> None:
    """Undeletes a trace. Raises DuplicateTrace, AlreadySuperseded."""
    if trace.content_hash is not None:
        await require_new_content(trace.content_hash, trace, work)
    if superseded is not None:
        if superseded.superseded_by_id is not None:
            raise AlreadySuperseded(superseded.id, superseded.superseded_by_id)
        await work.trace_changes.update(superseded.id, {"superseded_by_id": trace.id})
        await add_event(superseded, SUPERSEDED, work)
    await work.trace_changes.restore(trace.id)
    await add_event(trace, UNDELETED, work)


async def lock_with_superseded(
    trace_id: UUID, work: UnitOfWork, access: NamespaceAccess, *, needed: Role
) -> tuple[LockedTrace, LockedTrace | None]:
    """Locks the trace and the one it supersedes, if any; returns both. Raises TraceNotFound, NamespaceForbidden."""
    superseded_id = await work.traces.get_supersedes_id(trace_id, access.readable)
    ids = [trace_id] if superseded_id is None else [trace_id, superseded_id]
    locked = await work.trace_changes.lock(ids, access.readable)
    if trace_id not in locked:
        raise TraceNotFound(trace_id)
    access.require_role(locked[trace_id].namespace_id, needed)
    # The superseded trace may have been purged meanwhile.
    superseded = None if superseded_id is None else locked.get(superseded_id)
    if superseded is not None:
        # A merge of tags could lock the rows of the two in the other order.
        await work.tags.block_merges()
    return locked[trace_id], superseded
