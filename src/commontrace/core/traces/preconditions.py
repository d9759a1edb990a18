"""Preconditions of changes: ownership, etag (optimistic concurrency), new content."""

from uuid import UUID

from commontrace.domain.errors import DuplicateTrace, NamespaceNotFound, NotOwner, StaleEtag
from commontrace.domain.namespaces.access import Grant
from commontrace.domain.namespaces.namespace import COMMONS_ID
from commontrace.domain.traces.contribution import etag
from commontrace.domain.traces.locked_trace import LockedTrace
from commontrace.storage.traces.repository import TraceRow
from commontrace.storage.unit_of_work import UnitOfWork


def require_owner(trace: LockedTrace | TraceRow, user_id: UUID | None) -> None:
    """Raises NotOwner unless the user contributed the trace."""
    if trace.contributor_id != user_id:
        raise NotOwner(trace.id)


def require_etag(trace: LockedTrace | TraceRow, etag_wanted: str) -> None:
    """Raises StaleEtag if an etag is given and is not the trace's current one."""
    if etag_wanted and etag_wanted != etag(trace.edit_number):
        raise StaleEtag(trace.id, etag(trace.edit_number))


async def require_new_content(content_hash: bytes, trace: LockedTrace, work: UnitOfWork) -> None:
    """Raises DuplicateTrace if another live trace of the namespace has this stored hash."""
    existing = await work.traces.get_id_by_content(content_hash, trace.namespace_id)
    if existing not in (None, trace.id):
        raise DuplicateTrace(existing)


async def require_namespace(grant: Grant, work: UnitOfWork) -> None:
    """Keeps a namespace from being deleted until the transaction ends. Raises NamespaceNotFound."""
    if grant.id != COMMONS_ID and not await work.namespaces.hold(grant.id):
        raise NamespaceNotFound(grant.name)
    work.shown_namespace_ids.add(grant.id)
