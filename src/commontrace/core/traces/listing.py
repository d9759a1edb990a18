"""Lists of traces and of their revisions (keyset pagination, newest first)."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from commontrace.core.traces import filters
from commontrace.domain.namespaces.access import NamespaceAccess, ReadableNamespaces
from commontrace.domain.traces.trace_filter import ResolvedFilter, TraceFilter
from commontrace.storage.database import Database
from commontrace.storage.keyset import Cursor
from commontrace.storage.traces.repository import TraceRow
from commontrace.storage.unit_of_work import Reading


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """Positions of a list's traces. With `owner_id`, they are that user's, deleted ones included."""

    trace_filter: ResolvedFilter
    owner_id: UUID | None
    positions: Sequence[Cursor]


async def find_positions(
    trace_filter: TraceFilter,
    access: NamespaceAccess,
    *,
    owner_email: str | None,
    after: Cursor | None,
    size: int,
    database: Database,
) -> Listed:
    """Returns the positions of at most `size` matching traces after `after`, newest first.

    With `owner_email`, the list has that user's traces alone, deleted ones included. Raises NamespaceNotFound.
    """
    resolved = await filters.resolve(trace_filter, access, database)
    owner_id = None
    if owner_email is not None:
        owner_id = await database.read(lambda reading: reading.users.get_id(owner_email))
    # A user without a row has never written.
    if resolved.matches_nothing or (owner_email is not None and owner_id is None):
        return Listed(trace_filter=resolved, owner_id=None, positions=())
    positions = await database.read(
        lambda reading: reading.trace_listing.list_newest_first(resolved, owner_id=owner_id, after=after, size=size),
        trace_filter=resolved,
    )
    return Listed(trace_filter=resolved, owner_id=owner_id, positions=positions)


async def load_traces(
    positions: Sequence[Cursor], *, of: Listed, full: bool, database: Database
) -> dict[Cursor, TraceRow]:
    """Returns the traces at the positions, except those that no longer match."""
    ids = [position.id for position in positions]
    found = await database.read(
        lambda reading: reading.traces.get_many(ids, of.trace_filter, full=full, owner_id=of.owner_id),
        trace_filter=of.trace_filter,
    )
    return {position: found[position.id] for position in positions if position.id in found}


async def list_revisions(
    trace_id: UUID, namespaces: ReadableNamespaces, *, before: int | None, size: int, database: Database
) -> list[int]:
    """Returns the numbers of at most `size` revisions, newest first. Raises TraceNotFound."""

    async def numbers(reading: Reading) -> list[int]:
        await reading.traces.require(trace_id, namespaces)
        return await reading.revisions.list_numbers(trace_id, namespaces, before=before, size=size)

    return await database.read(numbers)
