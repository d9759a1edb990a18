"""Answers searches: filters hold, never short, most similar first, in time, by the database's current model."""

from dataclasses import replace
from uuid import UUID

from commontrace.core.search import ranked as ranked_search
from commontrace.core.search.passes import Passes
from commontrace.core.search.result import SearchResult
from commontrace.core.search.selectivity import FilterSelectivityCache
from commontrace.core.traces import filter_tags
from commontrace.domain.deadline import Deadline
from commontrace.domain.errors import (
    DeadlinePassed,
    FilterTooSlow,
    ModelReplaced,
    QueryOfAnotherModel,
    TraceNotEncoded,
)
from commontrace.domain.search.query import QueryVector, Search, StopReason
from commontrace.domain.search.rankings import RANKED, Ranking
from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.embeddings.active_model import ActiveModel
from commontrace.embeddings.embedder import Vector, unit_vector
from commontrace.embeddings.query_cache import QueryCache
from commontrace.storage.database import Database

# What an exact pass leaves of the time there is, for sending what the approximate pass found. Ending it costs its
# connection, and on a busy machine it takes 50 ms to open another.
SENDING_SHARE = 0.5
SENDING_SECONDS = 0.1

# The second had no time for what it would take to know.
_PROVES_ITSELF = (StopReason.LIMIT, StopReason.SCAN_BUDGET)


class SearchService:
    """Searches one database, which may be moved to another embedding model at any moment."""

    def __init__(self, database: Database, model: ActiveModel) -> None:
        self._database = database
        self._model = model
        self.filter_widths = FilterSelectivityCache()
        """Of the filters that were searched under."""

    async def search(self, search: Search, *, deadline: Deadline) -> SearchResult:
        """Returns the hits in the order asked for; searches again where the model was replaced meanwhile.

        Raises what `nearest` raises, QueryOfAnotherModel for a vector that the database's model did not make, and
        ModelReplaced where the database contradicts its own record.
        """
        while True:
            queries = self._model.queries
            if isinstance(search.query, QueryVector) and not search.query.made_by(queries.embedder):
                raise QueryOfAnotherModel
            try:
                if search.ranking is Ranking.COSINE:
                    found = await self.nearest(search, deadline=deadline, queries=queries)
                else:
                    found = await self._ranked(search, deadline=deadline, queries=queries)
            except ModelReplaced:
                if await self._model.is_current(queries):
                    raise
                continue
            # Enough is enough: only traces of the model are found. None, or few, may mean that there are none any more.
            if found.stop_reason in _PROVES_ITSELF or await self._model.is_current(queries):
                return found

    async def nearest(self, search: Search, *, deadline: Deadline, queries: QueryCache) -> SearchResult:
        """Returns the `limit` nearest traces; fewer only if no more match, or if there was no time to prove it.

        Only finds traces of the model of `queries`. Encoding a text is not under the deadline.
        Raises DeadlinePassed where no pass over the traces has come to its end, TraceNotFound, TraceNotEncoded,
        EmbedderUnavailable, FilterTooSlow, ModelReplaced.
        """
        # Before anything else: whether the query is one does not depend on the filter.
        query = (await queries.encode(search.query)).vector if isinstance(search.query, str) else search.query
        best: SearchResult | None = None
        sent: list[UUID] = []
        try:
            async with deadline.limit():
                vector = await self._vector(query)
                trace_filter = await filter_tags.resolve_tags(search.trace_filter, self._database)
                if trace_filter.matches_nothing:
                    return _nothing(trace_filter, queries)
                passes = Passes(
                    search,
                    vector,
                    trace_filter,
                    embedder=queries.embedder,
                    database=self._database,
                    widths=self.filter_widths,
                )
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

    async def _ranked(self, search: Search, *, deadline: Deadline, queries: QueryCache) -> SearchResult:
        """Returns hits in another order than that of similarity.

        Such orders hold the hundred nearest, or the hundred foremost of those and of the fifty that share the rarest
        words with the text.
        """
        everything = replace(search, limit=RANKED, fetches_full=None, resumed_at=None)
        found = await self.nearest(everything, deadline=deadline, queries=queries)
        in_time = deadline.leaving(share=SENDING_SHARE, most=SENDING_SECONDS)
        return await ranked_search.ranked(search, found, deadline=in_time, database=self._database, queries=queries)

    async def _vector(self, query: UUID | QueryVector | Vector) -> Vector:
        if isinstance(query, UUID):
            stored = await self._database.read(lambda reading: reading.traces.embedding_of(query))
            if stored is None:
                await self._database.read(lambda reading: reading.traces.require(query))
                raise TraceNotEncoded(query)
            return stored
        return unit_vector(query.vector if isinstance(query, QueryVector) else query)


def _nothing(trace_filter: ResolvedFilter, queries: QueryCache) -> SearchResult:
    """Returns what is found where no trace can pass the filter."""
    return SearchResult(
        neighbours=[],
        stop_reason=StopReason.EXHAUSTED,
        exact=True,
        trace_filter=trace_filter,
        model_id=queries.embedder.model_id,
    )
