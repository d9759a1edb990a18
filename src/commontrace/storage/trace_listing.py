"""Traces in the order of their age."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Select, Uuid, any_, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.core.trace_filter import ResolvedFilter
from commontrace.storage import keyset, trace_filter
from commontrace.storage.keyset import Position
from commontrace.storage.models import Trace
from commontrace.storage.trace_repository import TraceRow, select_rows


class TraceListing:
    """Lists live traces or, with `owner_id`, those of one user, deleted ones too.

    Finds positions first: rows are fetched for those that fit into the page.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        """Takes where to ask."""
        self._connection = connection

    async def newest_first(
        self, asked: ResolvedFilter, *, owner_id: UUID | None, after: Position | None, size: int
    ) -> list[Position]:
        """Returns at most `size` positions by (created_at, id), newest first, those behind `after` only."""
        query = positions(asked, owner_id=owner_id, after=after, size=size)
        found = await self._connection.execute(query, trace_filter.parameters(asked))
        return [Position._make(row) for row in found]

    async def rows(
        self, trace_ids: Collection[UUID], asked: ResolvedFilter, *, owner_id: UUID | None, full: bool
    ) -> dict[UUID, TraceRow]:
        """Returns those of the traces that still match, by id. Without `full`, context and solution read as ''."""
        wanted = Trace.id == any_(literal(list(trace_ids), ARRAY(Uuid)))
        query = select_rows(full=full).where(wanted, *_considered(asked, owner_id))
        found = await self._connection.execute(query, trace_filter.parameters(asked))
        return {row.id: TraceRow._make(row) for row in found}


def positions(
    asked: ResolvedFilter, *, owner_id: UUID | None, after: Position | None, size: int
) -> Select[*tuple[Any, ...]]:
    """Returns what `TraceListing.newest_first` runs; plan tests explain it."""
    columns = Trace.__table__.c
    matching = select(columns.created_at, columns.id).where(*_considered(asked, owner_id))
    return keyset.newest_first(matching, columns.created_at, columns.id, after=after, size=size)


def _considered(asked: ResolvedFilter, owner_id: UUID | None) -> list[ColumnElement[bool]]:
    whose = Trace.deleted_at.is_(None) if owner_id is None else Trace.contributor_id == literal(owner_id, Uuid)
    return [whose, *trace_filter.conditions(trace_filter.kinds_of(asked))]
