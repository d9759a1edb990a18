"""How a search is answered: filters hold, never short, most similar first, and in time."""

from typing import TYPE_CHECKING
from uuid import UUID

from commontrace.core.search_passes import Passes
from commontrace.domain.deadline import Deadline
from commontrace.domain.errors import DeadlinePassed, FilterTooSlow, TraceNotEncoded
from commontrace.domain.search.query import Found, Search, StopReason
from commontrace.domain.traces import trace_filter
from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.embeddings.embedder import Vector, unit
from commontrace.embeddings.query_cache import QueryCache

if TYPE_CHECKING:
    from commontrace.storage.database import Database

# What an exact pass leaves of the time there is, for sending what the approximate pass found. Ending it costs its
# connection, and on a busy machine it takes 50 ms to open another.
SENDING_SHARE = 0.5
SENDING_SECONDS = 0.1


async def find(search: Search, *, deadline: Deadline, database: "Database", queries: QueryCache) -> Found:
    """Returns the `limit` nearest traces; fewer only if no more match, or if there was no time to prove it.

    Only finds traces of the model of `queries`. Encoding a text is not under the deadline.
    Raises DeadlinePassed where no pass over the traces has come to its end, TraceNotFound, TraceNotEncoded,
    EmbedderUnavailable, FilterTooSlow, ModelReplaced.
    """
    # Before anything else: whether the query is one does not depend on the filter.
    query: UUID | Vector = (
        (await queries.encode(search.query)).vector if isinstance(search.query, str) else search.query
    )
    best: Found | None = None
    sent: list[UUID] = []
    try:
        async with deadline.limit():
            vector = await _vector(query, database)
            considered = await trace_filter.resolved(search.considered, database)
            if considered.matches_nothing:
                return _nothing(considered, queries)
            passes = Passes(search, vector, considered, embedder=queries.embedder, database=database)
            if search.resumed_at is not None:
                sent = await passes.sent(search.resumed_at)
            elif not search.exact:
                best = await passes.approximately()
                if best.stop_reason is not StopReason.SCAN_BUDGET:
                    return best
        # Only comparing every trace proves that there are no more.
        async with deadline.leaving(share=SENDING_SHARE, most=SENDING_SECONDS).limit():
            return await passes.exactly(besides=sent)
    except TimeoutError:
        if best is None:
            # An answer without hits would read as if nothing were known.
            raise DeadlinePassed("the deadline left no time to look at any trace: allow more") from None
        return best
    except FilterTooSlow:
        if best is None or not best.neighbours:
            raise
        return best


def _nothing(considered: ResolvedFilter, queries: QueryCache) -> Found:
    """Returns what is found where no trace can pass the filter."""
    return Found(
        neighbours=[],
        stop_reason=StopReason.EXHAUSTED,
        exact=True,
        considered=considered,
        model_id=queries.embedder.model_id,
    )


async def _vector(query: UUID | Vector, database: "Database") -> Vector:
    if isinstance(query, UUID):
        stored = await database.read(lambda reading: reading.traces.embedding_of(query))
        if stored is None:
            await database.read(lambda reading: reading.traces.require(query))
            raise TraceNotEncoded(query)
        return stored
    return unit(query)
