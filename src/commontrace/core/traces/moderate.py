"""Moderation: hide, unhide, purge (ADR 0031)."""

from uuid import UUID

import structlog

from commontrace.core.events.trace_events import add_event
from commontrace.core.traces.delete import lock_with_superseded, mark_deleted, restore
from commontrace.domain.errors import ConcurrentChange, TraceNotFound
from commontrace.domain.events.event_types import PURGED, UPDATED
from commontrace.domain.namespaces.access import NamespaceAccess
from commontrace.domain.namespaces.namespace import Role
from commontrace.storage.traces.repository import TraceRow
from commontrace.storage.unit_of_work import UnitOfWork

log = structlog.get_logger()


async def hide(trace_id: UUID, reason: str, work: UnitOfWork, access: NamespaceAccess) -> TraceRow:
    """Hides a trace, deleted or not, or updates the reason of a hidden one; returns it.

    Raises TraceNotFound, NamespaceForbidden.
    """
    trace, superseded = await lock_with_superseded(trace_id, work, access, needed=Role.MODERATOR)
    if trace.deleted_at is None:
        await mark_deleted(trace, superseded, work)
    await work.trace_changes.hide(trace_id, reason)
    return await work.traces.get_including_deleted(trace_id, access.readable)


async def unhide(trace_id: UUID, work: UnitOfWork, access: NamespaceAccess) -> TraceRow:
    """Unhides a trace, if it is hidden, and returns it. A trace that its owner had deleted before stays deleted.

    Raises TraceNotFound, NamespaceForbidden, DuplicateTrace, AlreadySuperseded.
    """
    trace, superseded = await lock_with_superseded(trace_id, work, access, needed=Role.MODERATOR)
    if trace.hidden_at is not None:
        await work.trace_changes.unhide(trace_id)
        # Equal times: one transaction hid and deleted it.
        if trace.deleted_at == trace.hidden_at:
            await restore(trace, superseded, work)
    return await work.traces.get_including_deleted(trace_id, access.readable)


async def purge(trace_id: UUID, work: UnitOfWork, moderator: str, access: NamespaceAccess) -> None:
    """Erases everything stored of a trace but its id. Raises TraceNotFound, NamespaceForbidden, ConcurrentChange.

    The id remains in events and in the ledgers of imports, which keep it from being imported again.
    """
    # Before any lock: nobody waits for, or holds up, a trace that may not be read.
    access.require_role(await work.traces.get_namespace_id(trace_id, access.readable), Role.MODERATOR)
    neighbours = set(await work.trace_purge.list_linked_ids(trace_id))
    # Copies are in other namespaces, which the moderator need not know.
    locked = await work.trace_changes.lock_anywhere([trace_id, *neighbours])
    if trace_id not in locked:
        raise TraceNotFound(trace_id)
    trace = locked.pop(trace_id)
    await work.trace_purge.lock_exclusively(trace_id)
    if not neighbours.issuperset(await work.trace_purge.list_linked_ids(trace_id)):
        # A successor appeared before the lock. It has to be locked as well, in the order of ids.
        raise ConcurrentChange
    await work.trace_purge.purge(trace_id)
    work.shown_namespace_ids.add(trace.namespace_id)
    for neighbour in locked.values():
        await add_event(neighbour, UPDATED, work)
    await add_event(trace, PURGED, work)
    log.warning("a trace is purged", trace_id=str(trace_id), by=moderator)
