"""Tail of the event log: snapshots of its end, and notifications of new events (ADR 0019)."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import BigInteger, Boolean, ColumnElement, String, and_, bindparam, case, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from commontrace.domain.events.commit_order import Snapshot
from commontrace.storage.events.repository import CHANNEL
from commontrace.storage.listen import listen
from commontrace.storage.models import TraceEvent


def _as_number(transaction_id: ColumnElement[Any]) -> ColumnElement[int]:
    # xid8: 64 bits, without wraparound. Postgres has no direct cast to bigint.
    return cast(cast(transaction_id, String), BigInteger)


_AFTER = bindparam("after", type_=BigInteger)
_LAST = func.coalesce(func.max(TraceEvent.sequence), _AFTER)
_OLDEST_RUNNING = _as_number(func.pg_snapshot_xmin(func.pg_current_snapshot()))
# Evaluated while the statement runs, so after its snapshot was taken. The xmax of a snapshot would not do: it is one
# past the latest transaction that has ended, and one in progress may have a higher id.
_DRAWN = _as_number(func.pg_current_xact_id())

# Built once: building a statement costs more than running it.
_FIRST_SNAPSHOT = select(func.count(), _LAST, _OLDEST_RUNNING, _DRAWN)
_SNAPSHOT = select(
    func.count(),
    _LAST,
    _OLDEST_RUNNING,
    case((and_(bindparam("draws", type_=Boolean), func.count() < _LAST - _AFTER), _DRAWN)),
).where(TraceEvent.sequence > _AFTER)


class EventTail:
    """The end of the event log, on a connection of `open_tail`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def take_snapshot(self, after: int | None, *, draws: bool) -> Snapshot:
        """Returns a snapshot of the events after a number; without one, of the last event alone.

        With `draws`, a snapshot that shows a gap draws a transaction id; the first snapshot always does.
        """
        if after is None:
            rows = await self._connection.execute(_FIRST_SNAPSHOT, {"after": 0})
        else:
            rows = await self._connection.execute(_SNAPSHOT, {"after": after, "draws": draws})
        count, last, oldest_running, drawn = rows.one()
        return Snapshot(count=count, last=last, oldest_running=oldest_running, drawn=drawn)


@asynccontextmanager
async def open_tail(engine: AsyncEngine, on_change: Callable[[], None]) -> AsyncIterator[EventTail]:
    """Yields a tail on a dedicated connection. Calls back after new events, and when the connection is lost."""
    async with listen(engine, {CHANNEL: lambda _: on_change()}, on_disconnect=on_change) as connection:
        yield EventTail(connection)
