"""Candidate generation: the traces nearest to a vector, by the cheapest search that the filter's selectivity allows."""

import math
from dataclasses import replace
from uuid import UUID

from commontrace.core.search.result import SearchResult
from commontrace.core.search.selectivity import FilterSelectivityCache
from commontrace.domain import limits
from commontrace.domain.search.neighbours import ApproximateStep, Neighbour, NeighbourQuery, ResumePoint
from commontrace.domain.search.query import Search, StopReason, candidates_for
from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.embeddings.embedder import Vector
from commontrace.embeddings.model import Model
from commontrace.storage.database import Database
from commontrace.storage.search.binary_quantized import RerankedCandidates
from commontrace.storage.traces.repository import TraceRow

# Candidates by Hamming distance: so many for each hit, and so many divided by the dimensions, because the fewer bits a
# vector has, the less they tell. With these numbers, .99 of the nearest or more are candidates (ADR 0023).
_QUANTIZED_PER_HIT = 6
_QUANTIZED_TIMES_DIMENSIONS = 53_760


class CandidateGeneration:
    """Nearest-neighbour searches of one request, approximate and exact."""

    def __init__(
        self,
        search: Search,
        vector: Vector,
        trace_filter: ResolvedFilter,
        *,
        model: Model,
        database: Database,
        selectivities: FilterSelectivityCache,
        excluded_id: UUID | None = None,
    ) -> None:
        self._search = search
        self._query = NeighbourQuery(
            vector=vector,
            model_id=model.model_id,
            model_version=model.model_version,
            limit=search.limit,
            trace_filter=trace_filter,
            excluded_id=search.query if isinstance(search.query, UUID) else excluded_id,
        )
        self._trace_filter = trace_filter
        self._database = database
        self._selectivities = selectivities

    async def approximate(self) -> SearchResult:
        """Returns what the vector index finds, or binary quantization where few traces pass or there is no index.

        The stop reason is SCAN_BUDGET where only an exact search can prove that no more follow.
        """
        if not await self._database.has_vector_index():
            return await self._binary_quantized()
        selectivity = 1.0 if self._trace_filter.passes_all else await self._selectivity()
        if not selectivity:
            return await self._binary_quantized()
        # The index applies the filter to the candidates that it has kept.
        least = min(math.ceil(candidates_for(self._search.limit) / selectivity), limits.SEARCH_CANDIDATES)
        ef_search, full = self._search.ef_search or least, self._search.fetches_full
        traces = None
        if full is None:
            neighbours = await self._database.search(
                lambda search: search.neighbours(self._query, ef_search=ef_search), trace_filter=self._trace_filter
            )
        else:
            found = await self._database.search(
                lambda search: search.hits(self._query, ef_search=ef_search, full=full),
                trace_filter=self._trace_filter,
            )
            neighbours = [neighbour for neighbour, _ in found]
            traces = {trace.id: trace for _, trace in found}
        return self._approximate_result(neighbours, traces, ef_search=ef_search)

    async def exact(self, *, excluded_ids: list[UUID]) -> SearchResult:
        """Returns the nearest of all traces but the excluded ones, after the resume point if there is one."""
        point = self._search.resumed_at or ResumePoint()
        neighbours = await self._database.read(
            lambda reading: reading.exact_search.neighbours(self._query, excluded_ids=excluded_ids, after=point.last),
            trace_filter=self._trace_filter,
        )
        similar = self._similar(neighbours)
        is_full = len(similar) == self._search.limit
        return SearchResult(
            neighbours=similar,
            stop_reason=StopReason.LIMIT if is_full else self._reason_for_fewer(similar, neighbours),
            exact=True,
            trace_filter=self._trace_filter,
            model_id=self._query.model_id,
            best_similarity=neighbours[0].similarity if neighbours else None,
            near_miss_count=len(neighbours) - len(similar),
            approximate=point.approximate,
        )

    async def sent(self, point: ResumePoint) -> list[UUID]:
        """Returns the traces that were sent of an approximate search, which is repeated; none if there was none."""
        step = point.approximate
        if step is None:
            return []
        query = replace(self._query, limit=step.limit)
        if not step.ef_search:
            return step.sent_of((await self._rerank(query, full=None)).neighbours)
        neighbours = await self._database.search(
            lambda search: search.neighbours(query, ef_search=step.ef_search), trace_filter=self._trace_filter
        )
        return step.sent_of(neighbours)

    async def _selectivity(self) -> float:
        """Returns the share of traces that pass the filter, within 0..1; 0.0 for few."""
        selectivity = self._selectivities.get(self._trace_filter)
        if selectivity is None:
            selectivity = await self._database.search(
                lambda search: search.selectivity(self._trace_filter), trace_filter=self._trace_filter
            )
            self._selectivities.remember(self._trace_filter, selectivity)
        return selectivity

    async def _binary_quantized(self) -> SearchResult:
        full = self._search.fetches_full
        reranked = await self._rerank(self._query, full=full)
        traces = None if full is None else {trace.id: trace for trace in reranked.traces}
        result = self._approximate_result(reranked.neighbours, traces, ef_search=0)
        was_cut_off = reranked.candidate_count == self._candidate_count(self._search.limit)
        if result.stop_reason is StopReason.LIMIT or was_cut_off:
            return result
        # All traces that pass the filter were candidates, and so compared.
        reason = self._reason_for_fewer(result.neighbours, reranked.neighbours)
        return replace(result, stop_reason=reason, exact=True, approximate=None)

    async def _rerank(self, query: NeighbourQuery, *, full: bool | None) -> RerankedCandidates:
        candidates = self._candidate_count(query.limit)
        return await self._database.search(
            lambda search: search.find_reranked(query, candidates=candidates, full=full),
            trace_filter=self._trace_filter,
        )

    def _candidate_count(self, limit: int) -> int:
        in_addition = math.ceil(_QUANTIZED_TIMES_DIMENSIONS / len(self._query.vector))
        return max(_QUANTIZED_PER_HIT * limit + in_addition, self._search.ef_search)

    def _approximate_result(
        self, neighbours: list[Neighbour], traces: dict[UUID, TraceRow] | None, *, ef_search: int
    ) -> SearchResult:
        similar, limit = self._similar(neighbours), self._search.limit
        return SearchResult(
            neighbours=similar,
            stop_reason=StopReason.LIMIT if len(similar) == limit else StopReason.SCAN_BUDGET,
            exact=False,
            trace_filter=self._trace_filter,
            model_id=self._query.model_id,
            best_similarity=neighbours[0].similarity if neighbours else None,
            near_miss_count=len(neighbours) - len(similar),
            approximate=ApproximateStep(limit=limit, ef_search=ef_search, last=similar[-1]) if similar else None,
            traces=traces,
        )

    def _similar(self, neighbours: list[Neighbour]) -> list[Neighbour]:
        least = self._search.min_similarity
        return [neighbour for neighbour in neighbours if neighbour.similarity >= least]

    @staticmethod
    def _reason_for_fewer(similar: list[Neighbour], neighbours: list[Neighbour]) -> StopReason:
        return StopReason.EXHAUSTED if len(similar) == len(neighbours) else StopReason.MIN_SIMILARITY
