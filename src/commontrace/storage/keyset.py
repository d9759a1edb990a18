"""Where a page of a list ended: keyset pagination by time and id."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, Select, Uuid, literal, tuple_


class Position(NamedTuple):
    """The last item of a page, in a list that is newest first."""

    created_at: datetime
    id: UUID


def newest_first(
    query: Select[*tuple[Any, ...]],
    created_at: ColumnElement[Any],
    item_id: ColumnElement[Any],
    *,
    after: Position | None,
    size: int,
) -> Select[*tuple[Any, ...]]:
    """Returns the query for at most `size` items behind the position."""
    if after is not None:
        position = tuple_(literal(after.created_at, DateTime(timezone=True)), literal(after.id, Uuid))
        query = query.where(tuple_(created_at, item_id) < position)
    return query.order_by(created_at.desc(), item_id.desc()).limit(size)
