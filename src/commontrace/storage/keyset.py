"""Keyset pagination by time and id."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, Select, Uuid, literal, tuple_


class Cursor(NamedTuple):
    """Keyset cursor: the time and id of an item. The next page begins after it."""

    created_at: datetime
    id: UUID


def newest_first(
    query: Select[*tuple[Any, ...]],
    created_at: ColumnElement[Any],
    item_id: ColumnElement[Any],
    *,
    after: Cursor | None,
    size: int,
) -> Select[*tuple[Any, ...]]:
    """Returns the query for at most `size` items after the cursor, newest first; without one, for the first page."""
    if after is not None:
        cursor = tuple_(literal(after.created_at, DateTime(timezone=True)), literal(after.id, Uuid))
        query = query.where(tuple_(created_at, item_id) < cursor)
    return query.order_by(created_at.desc(), item_id.desc()).limit(size)
