"""Looks at the end of the events, and hears that there are new ones."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import BigInteger, Boolean, ColumnElement, String, and_, bindparam, case, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from commontrace.domain.events.commit_order import Snapshot
from commontrace.storage.events.repository import CHANNEL
from commontrace.storage.listen import listen
from commontrace.storage.models import TraceEvent


def _number(transaction_id: ColumnElement[Any]) -> ColumnElement[int]:
    # 64 bits wide, without wraparound; there is no direct cast.
    return cast(cast(transaction_id, String), BigInteger)


_BEHIND = bindparam("behind", type_=BigInteger)
_LAST = func.coalesce(func.max(TraceEvent.sequence), _BEHIND)
_OLDEST_RUNNING = _number(func.pg_snapshot_xmin(func.pg_current_snapshot()))
# Called when the statement runs, so behind its snapshot. The upper end of a snapshot would not do: it is one past the
# latest transaction that has ended, and one that is under way may well have a higher id.
_DRAWN = _number(func.pg_current_xact_id())

# Made once: putting a statement together costs more than running it.
_FIRST_LOOK = select(func.count(), _LAST, _OLDEST_RUNNING, _DRAWN)
_LOOK = select(
    func.count(),
    _LAST,
    _OLDEST_RUNNING,
    case((and_(bindparam("draws", type_=Boolean), func.count() < _LAST - _BEHIND), _DRAWN)),
).where(TraceEvent.sequence > _BEHIND)


class EventTail:
    """A connection that listens."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Takes an autocommit connection; `tailing` makes one."""
        self._connection = connection

    async def look(self, behind: int | None, *, draws: bool) -> Snapshot:
        """Looks at the events behind a number, or, for the first time, at the last one of all.

        With `draws`, and always for the first time, a look that shows a gap draws a transaction id.
        """
        if behind is None:
            rows = await self._connection.execute(_FIRST_LOOK, {"behind": 0})
        else:
            rows = await self._connection.execute(_LOOK, {"behind": behind, "draws": draws})
        count, last, oldest_running, drawn = rows.one()
        return Snapshot(count=count, last=last, oldest_running=oldest_running, drawn=drawn)


@asynccontextmanager
async def tailing(engine: AsyncEngine, on_news: Callable[[], None]) -> AsyncIterator[EventTail]:
    """Yields a tail on a connection of its own, which calls back at news, or when the connection is lost."""
    async with listen(engine, CHANNEL, on_word=lambda _word: on_news(), on_end=on_news) as connection:
        yield EventTail(connection)
