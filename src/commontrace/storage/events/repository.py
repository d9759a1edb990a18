"""Event log of traces (ADR 0019)."""

from datetime import datetime, timedelta
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CursorResult,
    Integer,
    bindparam,
    delete,
    func,
    insert,
    select,
    true,
)

from commontrace.domain.namespaces.access import ReadableNamespaces
from commontrace.storage.executor import Executor
from commontrace.storage.models import TraceEvent
from commontrace.storage.namespaces.names import namespace_name_of
from commontrace.storage.namespaces.readable import READABLE_IDS
from commontrace.storage.transaction import Transaction

CHANNEL = "commontrace_trace_events"
"""The channel on which servers wake each other up for new events. Followers also poll, so a lost one does no harm."""

RETENTION = timedelta(days=7)


class EventRow(NamedTuple):
    """An event."""

    sequence: int
    trace_id: UUID
    event_type: str
    revision: int
    created_at: datetime
    namespace: str
    """The name of the trace's namespace."""


class EventRange(NamedTuple):
    """The first events of a range, as far as a caller may read them.

    `begins_expired` is true where the first event of the range, whoever may read it, may be deleted at any time, or is.
    """

    events: list[EventRow]
    begins_expired: bool


class RetainedEvents(NamedTuple):
    """Range of the sequence numbers that the log retains; 0 for an empty log.

    Deleted events are older than the oldest retained one, which then is itself expired.
    """

    oldest: int
    oldest_is_expired: bool
    last_drawn: int

    def has_all_after(self, sequence: int) -> bool:
        """Returns whether every event after the number is retained or still to come: a watch can resume there."""
        is_deleted = self.oldest_is_expired and sequence < self.oldest
        return not is_deleted and sequence <= self.last_drawn


_IS_EXPIRED = TraceEvent.created_at < func.now() - RETENTION

_NEW = ("trace_id", "event_type", "revision", "namespace_id")
# Built once: building a statement costs more than running it.
_ADD = insert(TraceEvent.__table__).values({name: bindparam(name) for name in _NEW})
_IN_RANGE = (
    TraceEvent.sequence > bindparam("after", type_=BigInteger),
    TraceEvent.sequence <= bindparam("up_to", type_=BigInteger),
)
_READABLE = (
    select(
        *(TraceEvent.__table__.c[name] for name in EventRow._fields if name != "namespace"),
        namespace_name_of(TraceEvent.namespace_id).label("namespace"),
    )
    .where(*_IN_RANGE, TraceEvent.namespace_id == READABLE_IDS)
    .order_by(TraceEvent.sequence)
    .limit(bindparam("limit", type_=Integer))
    .subquery("readable")
)
_FIRST = (
    select(_IS_EXPIRED.label("is_expired")).where(*_IN_RANGE).order_by(TraceEvent.sequence).limit(1).subquery("first")
)
_BETWEEN = (
    select(_FIRST.c.is_expired, _READABLE)
    .select_from(_FIRST.outerjoin(_READABLE, true()))
    .order_by(_READABLE.c.sequence)
)
_OLDEST = select(TraceEvent.sequence, _IS_EXPIRED.label("is_expired")).order_by(TraceEvent.sequence).limit(1).subquery()
_KEPT = select(
    func.coalesce(func.max(_OLDEST.c.sequence), 0),
    func.coalesce(func.bool_or(_OLDEST.c.is_expired), False),
    func.coalesce(func.pg_sequence_last_value(func.pg_get_serial_sequence("trace_events", "sequence")), 0),
)
NOTIFY = select(func.pg_notify(CHANNEL, ""))
"""Wakes up the followers of every server.

Not in the transaction that adds events: transactions that notify commit one at a time.
"""
# The last of the expired events stays, and marks how far events were deleted.
_FIRST_UNEXPIRED = select(func.min(TraceEvent.sequence)).where(~_IS_EXPIRED).scalar_subquery()
_MARK = (
    select(func.max(TraceEvent.sequence))
    .where(TraceEvent.sequence < func.coalesce(_FIRST_UNEXPIRED, 2**63 - 1))
    .scalar_subquery()
)
_DELETE_EXPIRED = delete(TraceEvent).where(
    TraceEvent.sequence.in_(
        select(TraceEvent.sequence)
        .where(TraceEvent.sequence < _MARK)
        .order_by(TraceEvent.sequence)
        .limit(bindparam("limit", type_=Integer))
    )
)


class EventReader:
    """Read side of the event log."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def list_between(self, after: int, up_to: int, namespaces: ReadableNamespaces, *, limit: int) -> EventRange:
        """Returns the first `limit` events after one number, up to another, in order."""
        parameters = {"after": after, "up_to": up_to, "limit": limit, "namespace_ids": namespaces.ids}
        rows = (await self._executor.execute(_BETWEEN, parameters)).all()
        events = [EventRow._make(event) for _, *event in rows if event[0] is not None]
        return EventRange(events, begins_expired=not rows or rows[0][0])

    async def get_retained(self) -> RetainedEvents:
        """Returns the retained range."""
        return RetainedEvents._make((await self._executor.execute(_KEPT)).one())


class EventRepository(EventReader):
    """The event log in one unit of work: events are appended after the change that they report, and never changed.

    After the change, because a transaction must have an id before it draws a sequence number: the order of commits is
    derived from that (`domain/events/commit_order.py`).
    """

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)
        self.has_added = False
        """True if there is something to notify of after the commit."""

    async def add(self, trace_id: UUID, event_type: str, *, revision: int, namespace_id: UUID) -> None:
        """Appends an event of a trace that this transaction has inserted or locked."""
        new = {"trace_id": trace_id, "event_type": event_type, "revision": revision, "namespace_id": namespace_id}
        await self._executor.execute(_ADD, new)
        self.has_added = True

    async def delete_expired(self, limit: int) -> int:
        """Deletes up to `limit` events that are older than 7 days, except the last of them; returns how many."""
        result = await self._executor.execute(_DELETE_EXPIRED, {"limit": limit})
        return cast("CursorResult[None]", result).rowcount
