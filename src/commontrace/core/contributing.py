"""How a contribution becomes a trace."""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from commontrace.core.caller import Caller
from commontrace.core.tag_names import normalise_all
from commontrace.core.traces import Contribution, new_trace
from commontrace.embeddings.embedder import Embedder

if TYPE_CHECKING:
    from commontrace.storage.database import Database
    from commontrace.storage.trace_repository import TraceRow


@dataclass(frozen=True, kw_only=True, slots=True)
class Contributed:
    """The trace as stored, and how many of its text's tokens its vector stands for."""

    trace: "TraceRow"
    tokens_read: int
    tokens_total: int


async def contribute(
    contribution: Contribution, caller: Caller, database: "Database", embedder: Embedder
) -> Contributed:
    """Stores a trace; it is durable and searchable afterwards. Raises InvalidTag, EmbedderUnavailable."""
    tags = normalise_all(contribution.tags)
    # Before the transaction: none is open while something else than the database is waited for.
    [embedding] = await embedder.encode([contribution.text])
    trace_id = uuid4()
    async with database.unit_of_work() as work:
        contributor_id = await work.users.ensure(caller.email)
        await work.traces.add(
            new_trace(contribution, embedding, embedder=embedder, trace_id=trace_id, contributor_id=contributor_id)
        )
        await work.tags.attach(trace_id, tags)
        trace = (await work.traces.get_many([trace_id], full=True))[trace_id]
    return Contributed(trace=trace, tokens_read=embedding.tokens_read, tokens_total=embedding.tokens_total)
