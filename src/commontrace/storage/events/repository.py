"""What happened to traces."""

from datetime import datetime, timedelta
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import BigInteger, CursorResult, Integer, bindparam, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from commontrace.storage.models import TraceEvent

CHANNEL = "commontrace_trace_events"
"""Where servers tell each other that there are events. A wake-up and no more: nobody relies on it."""

KEPT = timedelta(days=7)


class EventRow(NamedTuple):
    """An event. `is_expired` ones may be forgotten any time."""

    sequence: int
    trace_id: UUID
    event_type: str
    revision: int
    created_at: datetime
    is_expired: bool


class KeptEvents(NamedTuple):
    """From where to where there are events; 0 where there are none.

    Whatever was forgotten is older than the oldest, which then is expired itself.
    """

    oldest: int
    oldest_is_expired: bool
    last_drawn: int

    def has_all_behind(self, sequence: int) -> bool:
        """Whether every event behind the number is there, or still to come."""
        is_forgotten = self.oldest_is_expired and sequence < self.oldest
        return not is_forgotten and sequence <= self.last_drawn


_IS_EXPIRED = TraceEvent.created_at < func.now() - KEPT

# Made once: putting a statement together costs more than running it.
_ADD = insert(TraceEvent.__table__).values({name: bindparam(name) for name in ("trace_id", "event_type", "revision")})
_BETWEEN = (
    select(
        *(TraceEvent.__table__.c[name] for name in EventRow._fields if name != "is_expired"),
        _IS_EXPIRED.label("is_expired"),
    )
    .where(
        TraceEvent.sequence > bindparam("after", type_=BigInteger),
        TraceEvent.sequence <= bindparam("upto", type_=BigInteger),
    )
    .order_by(TraceEvent.sequence)
    .limit(bindparam("most", type_=Integer))
)
_OLDEST = select(TraceEvent.sequence, _IS_EXPIRED.label("is_expired")).order_by(TraceEvent.sequence).limit(1).subquery()
_KEPT = select(
    func.coalesce(func.max(_OLDEST.c.sequence), 0),
    func.coalesce(func.bool_or(_OLDEST.c.is_expired), False),
    func.coalesce(func.pg_sequence_last_value(func.pg_get_serial_sequence("trace_events", "sequence")), 0),
)
_ANNOUNCE = select(func.pg_notify(CHANNEL, ""))
# The last of the expired ones stays, as a mark of how far events were forgotten.
_FIRST_UNEXPIRED = select(func.min(TraceEvent.sequence)).where(~_IS_EXPIRED).scalar_subquery()
_MARK = (
    select(func.max(TraceEvent.sequence))
    .where(TraceEvent.sequence < func.coalesce(_FIRST_UNEXPIRED, 2**63 - 1))
    .scalar_subquery()
)
_FORGET = delete(TraceEvent).where(
    TraceEvent.sequence.in_(
        select(TraceEvent.sequence)
        .where(TraceEvent.sequence < _MARK)
        .order_by(TraceEvent.sequence)
        .limit(bindparam("most", type_=Integer))
    )
)


class EventRepository:
    """Events are added in the transaction that makes them happen, behind the change itself, and never changed.

    Behind: a transaction must have an id before it draws a number. What the settlement of events rests on is that.
    """

    def __init__(self, session: AsyncSession | AsyncConnection) -> None:
        """Takes where to ask."""
        self._session = session
        self.has_added = False
        """Whether there is something to announce after the commit."""

    async def add(self, trace_id: UUID, event_type: str, *, revision: int) -> None:
        """Records an event of a trace that this transaction has inserted or locked."""
        await self._session.execute(_ADD, {"trace_id": trace_id, "event_type": event_type, "revision": revision})
        self.has_added = True

    async def between(self, after: int, upto: int, *, most: int) -> list[EventRow]:
        """Returns the first of the events behind a number, up to another, in order."""
        rows = await self._session.execute(_BETWEEN, {"after": after, "upto": upto, "most": most})
        return [EventRow._make(row) for row in rows]

    async def kept(self) -> KeptEvents:
        """Returns which events there are."""
        return KeptEvents._make((await self._session.execute(_KEPT)).one())

    async def announce(self) -> None:
        """Tells every server that there are new events.

        Not in the transaction that adds them: Postgres lets one transaction commit at a time of those that notify.
        """
        await self._session.execute(_ANNOUNCE)

    async def forget_expired(self, most: int) -> int:
        """Drops up to `most` events that are older than 7 days, all but the last of them; returns how many."""
        dropped = await self._session.execute(_FORGET, {"most": most})
        return cast("CursorResult[None]", dropped).rowcount
