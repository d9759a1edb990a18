"""What moderators do to traces."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import String, bindparam, cast, delete, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from commontrace.storage.models import EncodingJob, IdempotentRequest, Trace, TraceRevision, TraceTag, Vote

_OF_IT = (TraceTag, TraceRevision, EncodingJob, Vote)
# Every answer of a day is read: longer than other statements may take, shorter than the driver waits.
_ANSWERS_ARE_MANY = text("SET LOCAL statement_timeout = '9s'")


class Moderation:
    """Changes of traces that are not their owners'. What is changed must be locked before."""

    def __init__(self, session: AsyncSession) -> None:
        """Takes the session of the unit of work."""
        self._session = session

    async def hide(self, trace_id: UUID, reason: str) -> None:
        """Says that and why a deleted trace is hidden, and since when, unless it is already."""
        hidden_at = func.coalesce(Trace.hidden_at, func.now())
        await self._set(trace_id, hidden_at=hidden_at, hide_reason=reason)

    async def unhide(self, trace_id: UUID) -> None:
        """Says that a trace is not hidden."""
        await self._set(trace_id, hidden_at=None, hide_reason="")

    async def neighbours(self, trace_id: UUID) -> Sequence[UUID]:
        """Returns which traces name the trace as what they replace or are replaced by, deleted ones too."""
        naming = select(Trace.id).where(or_(Trace.supersedes_id == trace_id, Trace.superseded_by_id == trace_id))
        return (await self._session.execute(naming)).scalars().all()

    async def purge(self, trace_id: UUID) -> None:
        """Erases the trace, all that hangs on it, and what was answered about it; its neighbours no longer name it."""
        for column in (Trace.supersedes_id, Trace.superseded_by_id):
            await self._session.execute(update(Trace).where(column == trace_id).values({column: None}))
        for table in _OF_IT:
            await self._session.execute(delete(table).where(table.trace_id == trace_id))
        await self._session.execute(delete(Trace).where(Trace.id == trace_id))
        await self._session.execute(_ANSWERS_ARE_MANY)
        named = func.convert_to(cast(bindparam("id", str(trace_id)), String), "UTF8")
        answers = update(IdempotentRequest).where(func.position(named.op("IN")(IdempotentRequest.answer)) > 0)
        await self._session.execute(answers.values(answer=None))

    async def _set(self, trace_id: UUID, **values: object) -> None:
        await self._session.execute(update(Trace).where(Trace.id == trace_id).values(**values))
