"""What happened to traces."""

from uuid import UUID

from sqlalchemy import bindparam, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from commontrace.storage.models import TraceEvent

CHANNEL = "commontrace_trace_events"
"""Where Postgres tells listeners that there are events, when the transaction that adds them commits."""

# Made once: putting a statement together costs more than running it.
_ADD = select(func.pg_notify(CHANNEL, "")).add_cte(
    insert(TraceEvent.__table__)
    .values({name: bindparam(name) for name in ("trace_id", "event_type", "revision")})
    .cte("added")
)


class EventRepository:
    """Events are added in the transaction that makes them happen, behind the change itself, and never changed."""

    def __init__(self, session: AsyncSession) -> None:
        """Takes the session of the unit of work."""
        self._session = session

    async def add(self, trace_id: UUID, event_type: str, *, revision: int) -> None:
        """Records an event of a trace that this transaction has inserted or locked."""
        await self._session.execute(_ADD, {"trace_id": trace_id, "event_type": event_type, "revision": revision})
