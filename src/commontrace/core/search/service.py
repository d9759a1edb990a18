"""Search service: approximate search, then exact search if hits are missing, by the database's current model.

Every hit passes the filter. A search has fewer hits than its limit only if no more match, or if the deadline leaves no
time to prove it (ADR 0045).
"""

from dataclasses import replace
from uuid import UUID

from commontrace.core.search import reranking, verdicts
from commontrace.core.search.candidates import CandidateGeneration
from commontrace.core.search.pending import PendingTraces
from commontrace.core.search.result import SearchResult
from commontrace.core.search.selectivity import FilterSelectivityCache
from commontrace.core.traces import filters
from commontrace.domain.deadline import Deadline
from commontrace.domain.errors import (
    DeadlinePassed,
    FilterTooSlow,
    ModelReplaced,
    QueryOfAnotherModel,
    TraceNotEncoded,
)
from commontrace.domain.namespaces.access import NamespaceAccess, ReadableNamespaces
from commontrace.domain.search.query import QueryVector, Search, StopReason
from commontrace.domain.search.rankings import RANKED, Ranking
from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.embeddings.active_model import ActiveModel
from commontrace.embeddings.embedder import Vector, unit_vector
from commontrace.embeddings.model import Model
from commontrace.embeddings.query_cache import QueryCache
from commontrace.storage.database import Database

# What an exact search leaves of the remaining time, for sending what the approximate search found. A statement that is
# cancelled costs its connection, and on a busy machine it takes 50 ms to open another.
SENDING_SHARE = 0.5
SENDING_SECONDS = 0.1

# Reasons that hold under any model: LIMIT needs no proof, and SCAN_BUDGET says that there was no time for one.
_NEEDS_NO_PROOF = (StopReason.LIMIT, StopReason.SCAN_BUDGET)


class SearchService:
    """Searches of one database, which may be moved to another embedding model at any moment."""

    def __init__(self, database: Database, model: ActiveModel) -> None:
        self._database = database
        self._model = model
        self.selectivities = FilterSelectivityCache()
        """Selectivities of the filters of recent searches."""
        self._pending = PendingTraces(database)

    async def search(self, search: Search, access: NamespaceAccess, *, deadline: Deadline) -> SearchResult:
        """Returns the hits by the ranking asked for. Searches again where the model was replaced meanwhile.

        Encoding a text is not under the deadline. Raises DeadlinePassed where no search of the traces has come to its
        end, TraceNotFound, NamespaceNotFound, TraceNotEncoded, EmbedderUnavailable, FilterTooSlow, NotCalibrated,
        QueryOfAnotherModel for a vector of another model than the database's, and ModelReplaced where the database
        contradicts its own record.
        """
        while True:
            queries, model = self._model.queries, self._model.info
            if isinstance(search.query, QueryVector) and not search.query.made_by(model):
                raise QueryOfAnotherModel
            verdicts.require_calibration(search, model)
            try:
                nearest = await self.find_nearest(
                    _by_similarity(search), access, deadline=deadline, queries=queries, model=model
                )
                result = verdicts.with_probability(search, nearest, model)
                if verdicts.is_improbable(search, result):
                    result = verdicts.silenced(result)
                elif search.ranking is not Ranking.COSINE:
                    # All of the last tenth of a second: it is what a cancelled statement costs, and sending.
                    in_time = deadline.leaving(share=1, most=SENDING_SECONDS)
                    result = await reranking.rank(
                        search, result, deadline=in_time, database=self._database, queries=queries
                    )
            except ModelReplaced:
                if await self._model.is_current(queries):
                    raise
                continue
            # Only traces of the model are found: no hits, or few, may mean that no traces of it are left.
            if result.stop_reason in _NEEDS_NO_PROOF or await self._model.is_current(queries):
                return await self._with_pending(result, deadline)

    async def find_nearest(
        self, search: Search, access: NamespaceAccess, *, deadline: Deadline, queries: QueryCache, model: Model
    ) -> SearchResult:
        """Returns the `limit` nearest traces of the model; fewer only if no more match, or without time to prove it.

        Raises what `search` raises.
        """
        # Before the filter: a query that is none is refused under any filter.
        query = (await queries.encode(search.query)).vector if isinstance(search.query, str) else search.query
        best: SearchResult | None = None
        sent: list[UUID] = []
        try:
            async with deadline.limit():
                vector = await self._vector(query, access.readable)
                trace_filter = await filters.resolve(search.trace_filter, access, self._database)
                if trace_filter.matches_nothing:
                    return _no_matches(trace_filter, model)
                candidates = CandidateGeneration(
                    search,
                    vector,
                    trace_filter,
                    model=model,
                    database=self._database,
                    selectivities=self.selectivities,
                )
                if search.resumed_at is not None:
                    sent = await candidates.sent(search.resumed_at)
                elif not search.exact:
                    best = await candidates.approximate()
                    if best.stop_reason is not StopReason.SCAN_BUDGET:
                        return best
            # Only comparing every trace proves that there are no more.
            async with deadline.leaving(share=SENDING_SHARE, most=SENDING_SECONDS).limit():
                return await candidates.exact(excluded_ids=sent)
        except TimeoutError:
            if best is None:
                # A result without hits would read as if nothing were similar.
                raise DeadlinePassed("the deadline left no time to look at any trace: allow more") from None
            return best
        except FilterTooSlow:
            if best is None or not best.neighbours:
                raise
            return best

    async def _with_pending(self, result: SearchResult, deadline: Deadline) -> SearchResult:
        """Returns the result with the number of traces that wait for their vector, if there is time to count them."""
        # The time that is left is for sending.
        if result.stop_reason is StopReason.SCAN_BUDGET:
            return result
        # Short answers raise the question where the rest is.
        may_be_held = result.stop_reason is StopReason.LIMIT
        in_time = deadline.leaving(share=SENDING_SHARE, most=SENDING_SECONDS)
        pending = await self._pending.count(result.trace_filter, may_be_held=may_be_held, deadline=in_time)
        return replace(result, pending_count=pending)

    async def _vector(self, query: UUID | QueryVector | Vector, namespaces: ReadableNamespaces) -> Vector:
        if isinstance(query, UUID):
            stored = await self._database.read(lambda reading: reading.traces.get_embedding(query, namespaces))
            if stored is None:
                await self._database.read(lambda reading: reading.traces.require(query, namespaces))
                raise TraceNotEncoded(query)
            return stored
        return unit_vector(query.vector if isinstance(query, QueryVector) else query)


def _by_similarity(search: Search) -> Search:
    """Returns the search for the most similar traces: as many as asked for, or a hundred to re-rank."""
    if search.ranking is Ranking.COSINE:
        return search
    return replace(search, limit=RANKED, fetches_full=None, resumed_at=None)


def _no_matches(trace_filter: ResolvedFilter, model: Model) -> SearchResult:
    """Returns the result of a filter that no trace can pass."""
    return SearchResult(
        neighbours=[],
        stop_reason=StopReason.EXHAUSTED,
        exact=True,
        trace_filter=trace_filter,
        model_id=model.model_id,
    )
