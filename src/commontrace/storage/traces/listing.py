"""Lists of traces, newest first."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, Uuid, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.storage import keyset
from commontrace.storage.keyset import Cursor
from commontrace.storage.models import TraceSigns
from commontrace.storage.search import filter_sql


class TraceListing:
    """Lists of cursors alone: rows are fetched later, for the traces that fit into the response."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list_newest_first(
        self, trace_filter: ResolvedFilter, *, owner_id: UUID | None, after: Cursor | None, size: int
    ) -> list[Cursor]:
        """Returns the cursors of at most `size` traces by (created_at, id), newest first, after the cursor `after`.

        They are live traces or, with `owner_id`, those of one user, deleted ones too.
        """
        query = page_statement(trace_filter, owner_id=owner_id, after=after, size=size)
        found = await self._connection.execute(query, filter_sql.parameters(trace_filter))
        return [Cursor._make(row) for row in found]


def page_statement(
    trace_filter: ResolvedFilter, *, owner_id: UUID | None, after: Cursor | None, size: int
) -> Select[*tuple[Any, ...]]:
    """Returns the statement of `TraceListing.list_newest_first`; plan tests EXPLAIN it."""
    # From the narrow table, which has an index for each condition: a page of rare traces reads neither all traces nor
    # their texts (ADR 0048).
    columns = TraceSigns.__table__.c
    whose = columns.is_live if owner_id is None else columns.contributor_id == literal(owner_id, Uuid)
    filtered = filter_sql.conditions_on_signs(filter_sql.kinds_of(trace_filter))
    matching = select(columns.created_at, columns.trace_id).where(whose, *filtered)
    return keyset.newest_first(matching, columns.created_at, columns.trace_id, after=after, size=size)
