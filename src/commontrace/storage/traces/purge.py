"""What is erased of a trace that must not exist."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import String, Uuid, bindparam, cast, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from commontrace.storage.models import EncodingJob, IdempotentRequest, PurgedTrace, Trace, TraceRevision, TraceTag, Vote

_OF_IT = (TraceTag, TraceRevision, EncodingJob, Vote)
# Every answer of a day is read: longer than other statements may take, shorter than the driver waits.
_ANSWERS_ARE_MANY = text("SET LOCAL statement_timeout = '9s'")


# Unlike every other lock on a trace, it excludes FOR KEY SHARE, which Postgres takes for each row that refers to one.
_LOCK_OUT = select(Trace.id).where(Trace.id == bindparam("of_trace", type_=Uuid)).with_for_update()


class TracePurge:
    """Erases traces. What is erased must be locked before."""

    def __init__(self, session: AsyncSession) -> None:
        """Takes the session of the unit of work."""
        self._session = session

    async def neighbours(self, trace_id: UUID) -> Sequence[UUID]:
        """Returns which traces name the trace as what they replace or are replaced by, deleted ones too."""
        naming = select(Trace.id).where(or_(Trace.supersedes_id == trace_id, Trace.superseded_by_id == trace_id))
        return (await self._session.execute(naming)).scalars().all()

    async def lock_out(self, trace_id: UUID) -> None:
        """Keeps everybody from adding rows that refer to a locked trace, and waits for those who have added some.

        The last lock on a trace that a transaction takes: who holds off purges waits for it (ADR 0031).
        """
        await self._session.execute(_LOCK_OUT, {"of_trace": trace_id})

    async def purge(self, trace_id: UUID) -> None:
        """Erases a trace that others are locked out of, all that hangs on it, and what was answered about it.

        Its neighbours no longer name it. That it was purged is kept, by its id.
        """
        for column in (Trace.supersedes_id, Trace.superseded_by_id):
            await self._session.execute(update(Trace).where(column == trace_id).values({column: None}))
        for table in _OF_IT:
            await self._session.execute(delete(table).where(table.trace_id == trace_id))
        await self._session.execute(delete(Trace).where(Trace.id == trace_id))
        await self._session.execute(insert(PurgedTrace).values(trace_id=trace_id).on_conflict_do_nothing())
        await self._session.execute(_ANSWERS_ARE_MANY)
        named = func.convert_to(cast(bindparam("id", str(trace_id)), String), "UTF8")
        answers = update(IdempotentRequest).where(func.position(named.op("IN")(IdempotentRequest.answer)) > 0)
        await self._session.execute(answers.values(answer=None))
