"""Traces in the order of their age."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, Uuid, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.storage import keyset
from commontrace.storage.keyset import Position
from commontrace.storage.models import TraceSigns
from commontrace.storage.search import filter_sql


class TraceListing:
    """Finds positions only: rows are fetched for those that fit into the page."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Takes where to ask."""
        self._connection = connection

    async def newest_first(
        self, trace_filter: ResolvedFilter, *, owner_id: UUID | None, after: Position | None, size: int
    ) -> list[Position]:
        """Returns at most `size` positions by (created_at, id), newest first, those behind `after` only.

        They are those of live traces or, with `owner_id`, of one user's, deleted ones too.
        """
        query = positions(trace_filter, owner_id=owner_id, after=after, size=size)
        found = await self._connection.execute(query, filter_sql.parameters(trace_filter))
        return [Position._make(row) for row in found]


def positions(
    trace_filter: ResolvedFilter, *, owner_id: UUID | None, after: Position | None, size: int
) -> Select[*tuple[Any, ...]]:
    """Returns what `TraceListing.newest_first` runs; plan tests explain it."""
    # Narrow rows, with an index for each condition: a page of what is rare reads neither all traces nor their texts.
    columns = TraceSigns.__table__.c
    whose = columns.is_live if owner_id is None else columns.contributor_id == literal(owner_id, Uuid)
    filtered = filter_sql.conditions_on_signs(filter_sql.kinds_of(trace_filter))
    matching = select(columns.created_at, columns.trace_id).where(whose, *filtered)
    return keyset.newest_first(matching, columns.created_at, columns.trace_id, after=after, size=size)
