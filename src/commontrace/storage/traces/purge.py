"""Purge: erasure of a trace and of all rows that refer to it (ADR 0031)."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import String, Uuid, bindparam, cast, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from commontrace.storage.models import (
    EncodingJob,
    IdempotentRequest,
    PurgedTrace,
    Trace,
    TraceRevision,
    TraceTag,
    TraceTokens,
    Vote,
)
from commontrace.storage.transaction import Transaction

_LINKS = (Trace.supersedes_id, Trace.superseded_by_id, Trace.promoted_from_id)
_REFERRING_TABLES = (TraceTag, TraceRevision, TraceTokens, EncodingJob, Vote)
# The scan reads every answer of a day: longer than the statement_timeout of calls, shorter than the driver's timeout.
_ALLOW_LONG_SCAN = text("SET LOCAL statement_timeout = '9s'")

# FOR UPDATE. Unlike every other lock on a trace, it excludes FOR KEY SHARE, which an insert of a referring row takes.
_LOCK_EXCLUSIVELY = select(Trace.id).where(Trace.id == bindparam("of_trace", type_=Uuid)).with_for_update()


class TracePurge:
    """Purges in one unit of work, which locks each trace before."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def list_linked_ids(self, trace_id: UUID) -> Sequence[UUID]:
        """Returns the ids of traces that supersede the trace, are superseded by it, or are copies, deleted ones too."""
        naming = select(Trace.id).where(or_(*(column == trace_id for column in _LINKS)))
        return (await self._transaction.execute(naming)).scalars().all()

    async def lock_exclusively(self, trace_id: UUID) -> None:
        """Blocks inserts of rows that refer to a locked trace, after waiting for transactions that have added some.

        The last lock on a trace in a transaction: `TraceChanges.block_purges` waits for it.
        """
        await self._transaction.execute(_LOCK_EXCLUSIVELY, {"of_trace": trace_id})

    async def purge(self, trace_id: UUID) -> None:
        """Deletes an exclusively locked trace, the rows that refer to it, and stored answers that name it.

        Traces linked by supersession, and copies in other namespaces, lose the link. The id stays in `purged_traces`.
        """
        for column in _LINKS:
            await self._transaction.execute(update(Trace).where(column == trace_id).values({column: None}))
        for table in _REFERRING_TABLES:
            await self._transaction.execute(delete(table).where(table.trace_id == trace_id))
        await self._transaction.execute(delete(Trace).where(Trace.id == trace_id))
        await self._transaction.execute(insert(PurgedTrace).values(trace_id=trace_id).on_conflict_do_nothing())
        await self._transaction.execute(_ALLOW_LONG_SCAN)
        named = func.convert_to(cast(bindparam("id", str(trace_id)), String), "UTF8")
        answers = update(IdempotentRequest).where(func.position(named.op("IN")(IdempotentRequest.answer)) > 0)
        await self._transaction.execute(answers.values(answer=None))
