"""The passes over the traces that a search considers: by the signs of their vectors, by the vector index, over all."""

import math
from dataclasses import replace
from uuid import UUID

from commontrace.core.search.result import SearchResult
from commontrace.core.search.selectivity import FilterSelectivityCache
from commontrace.domain import limits
from commontrace.domain.search.neighbours import Neighbour, NeighbourQuery
from commontrace.domain.search.query import Search, StopReason, candidates_for, similarity
from commontrace.domain.search.resumption import ApproximatePart, ResumePoint
from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.embeddings.embedder import Embedder, Vector
from commontrace.storage.database import Database
from commontrace.storage.search.binary_quantized import RerankedCandidates
from commontrace.storage.traces.repository import TraceRow

# Candidates that are picked by their signs, for every hit asked for, and besides, divided by the dimensions: few signs
# tell less. They hold .99 of the nearest or more (ADR 0023).
_BY_SIGNS_PER_HIT = 6
_BY_SIGNS_BESIDES = 53_760


class Passes:
    """The passes over the traces that a search considers."""

    def __init__(
        self,
        search: Search,
        vector: Vector,
        trace_filter: ResolvedFilter,
        *,
        embedder: Embedder,
        database: Database,
        widths: FilterSelectivityCache,
    ) -> None:
        self._search = search
        self._nearest = NeighbourQuery(
            vector=vector,
            model_id=embedder.model_id,
            model_version=embedder.model_version,
            limit=search.limit,
            trace_filter=trace_filter,
            excluded=search.query if isinstance(search.query, UUID) else None,
        )
        self._trace_filter = trace_filter
        self._database = database
        self._widths = widths

    async def approximately(self) -> SearchResult:
        """Returns what is found without comparing all; SCAN_BUDGET if that is not enough."""
        if self._trace_filter.trace_filter.passes_all:
            return await self._by_index(1.0)
        width = self._widths.get(self._trace_filter)
        if width is None:
            width = await self._database.search_binary_quantized(
                lambda search: search.width(self._trace_filter), trace_filter=self._trace_filter
            )
            self._widths.remember(self._trace_filter, width)
        return await self._by_index(width) if width else await self._by_signs()

    async def exactly(self, *, besides: list[UUID]) -> SearchResult:
        """Returns the nearest of all but those, behind the point where the search is resumed, if it is."""
        point = self._search.resumed_at or ResumePoint()
        nearest = await self._database.read(
            lambda reading: reading.exact_search.neighbours(self._nearest, besides=besides, behind=point.last),
            trace_filter=self._trace_filter,
        )
        hits = self._similar(nearest)
        reason = StopReason.LIMIT if len(hits) == self._search.limit else self._why_short(hits, nearest)
        return SearchResult(
            neighbours=hits,
            stop_reason=reason,
            exact=True,
            trace_filter=self._trace_filter,
            model_id=self._nearest.model_id,
            approximate=point.approximate,
        )

    async def sent(self, point: ResumePoint) -> list[UUID]:
        """Returns what was sent of an approximate pass."""
        part = point.approximate
        if part is None:
            return []
        nearest = replace(self._nearest, limit=part.limit)
        if part.ef_search:
            return part.of(
                await self._database.search(
                    lambda search: search.neighbours(nearest, ef_search=part.ef_search), trace_filter=self._trace_filter
                )
            )
        matched = await self._matched(nearest, full=None)
        return part.of(matched.neighbours)

    async def _by_signs(self) -> SearchResult:
        """Returns what is found by the signs, of all that pass the filter."""
        matched = await self._matched(self._nearest, full=self._search.fetches_full)
        traces = None if self._search.fetches_full is None else {trace.id: trace for trace in matched.traces}
        found = self._found(matched.neighbours, traces, ef_search=0)
        if found.stop_reason is StopReason.LIMIT or matched.candidate_count == self._candidates(self._search.limit):
            return found
        # All that match were candidates, and so compared.
        reason = self._why_short(found.neighbours, matched.neighbours)
        return replace(found, stop_reason=reason, exact=True, approximate=None)

    async def _by_index(self, width: float) -> SearchResult:
        """Returns what the vector index finds, of which about that share passes the filter."""
        # The index keeps candidates before it looks at the filter.
        least = min(math.ceil(candidates_for(self._search.limit) / width), limits.SEARCH_CANDIDATES)
        ef_search = self._search.ef_search or least
        traces = None
        if self._search.fetches_full is None:
            neighbours = await self._database.search(
                lambda search: search.neighbours(self._nearest, ef_search=ef_search), trace_filter=self._trace_filter
            )
        else:
            full = self._search.fetches_full
            found = await self._database.search(
                lambda search: search.hits(self._nearest, ef_search=ef_search, full=full),
                trace_filter=self._trace_filter,
            )
            neighbours = [neighbour for neighbour, _ in found]
            traces = {trace.id: trace for _, trace in found}
        return self._found(neighbours, traces, ef_search=ef_search)

    async def _matched(self, nearest: NeighbourQuery, *, full: bool | None) -> RerankedCandidates:
        candidates = self._candidates(nearest.limit)
        return await self._database.search_binary_quantized(
            lambda search: search.matched(nearest, candidates=candidates, full=full), trace_filter=self._trace_filter
        )

    def _candidates(self, limit: int) -> int:
        besides = math.ceil(_BY_SIGNS_BESIDES / len(self._nearest.vector))
        return max(_BY_SIGNS_PER_HIT * limit + besides, self._search.ef_search)

    def _found(
        self, neighbours: list[Neighbour], traces: dict[UUID, TraceRow] | None, *, ef_search: int
    ) -> SearchResult:
        hits, limit = self._similar(neighbours), self._search.limit
        return SearchResult(
            neighbours=hits,
            stop_reason=StopReason.LIMIT if len(hits) == limit else StopReason.SCAN_BUDGET,
            exact=False,
            trace_filter=self._trace_filter,
            model_id=self._nearest.model_id,
            approximate=ApproximatePart(limit=limit, ef_search=ef_search, last=hits[-1]) if hits else None,
            traces=traces,
        )

    def _similar(self, neighbours: list[Neighbour]) -> list[Neighbour]:
        least = self._search.min_similarity
        return [neighbour for neighbour in neighbours if similarity(neighbour) >= least]

    @staticmethod
    def _why_short(hits: list[Neighbour], nearest: list[Neighbour]) -> StopReason:
        return StopReason.EXHAUSTED if len(hits) == len(nearest) else StopReason.MIN_SIMILARITY
