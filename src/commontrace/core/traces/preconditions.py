"""Preconditions of changes: ownership, etag (optimistic concurrency), new content."""

from uuid import UUID

from commontrace.domain.errors import DuplicateTrace, NotOwner, StaleEtag
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


async def require_new_content(content_hash: bytes, trace_id: UUID, work: UnitOfWork) -> None:
    """Raises DuplicateTrace if another live trace has the content."""
    existing = await work.traces.get_id_by_content(content_hash)
    if existing not in (None, trace_id):
        raise DuplicateTrace(existing)
