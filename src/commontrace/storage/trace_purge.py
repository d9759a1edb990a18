"""What is erased of a trace that must not exist."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import String, bindparam, cast, delete, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from commontrace.storage.models import EncodingJob, IdempotentRequest, Trace, TraceRevision, TraceTag, Vote

_OF_IT = (TraceTag, TraceRevision, EncodingJob, Vote)
# Every answer of a day is read: longer than other statements may take, shorter than the driver waits.
_ANSWERS_ARE_MANY = text("SET LOCAL statement_timeout = '9s'")


class TracePurge:
    """Erases traces. What is erased must be locked before."""

    def __init__(self, session: AsyncSession) -> None:
        """Takes the session of the unit of work."""
        self._session = session

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
