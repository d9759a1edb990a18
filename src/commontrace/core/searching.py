"""How a search is answered: filters hold, never short, most similar first, and in time."""

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING
from uuid import UUID

from commontrace.core import limits, trace_filter
from commontrace.core.deadline import Deadline
from commontrace.core.errors import TraceNotEncoded
from commontrace.core.nearest import Nearest
from commontrace.core.rankings import Explanation, Ranking
from commontrace.core.search_resumption import ApproximatePart, ResumePoint
from commontrace.core.trace_filter import ResolvedFilter, TraceFilter
from commontrace.embeddings.embedder import Embedder, Vector, unit
from commontrace.embeddings.query_cache import QueryCache

if TYPE_CHECKING:
    from commontrace.storage.database import Database
    from commontrace.storage.trace_repository import TraceRow
    from commontrace.storage.trace_search import Neighbour

# Candidates the index keeps for every hit asked for. With 64 as the least, recall@10 on 20,000 traces of 1536
# dimensions lies between the .94 of 40 and the .98 of 100.
_EF_PER_HIT = 2
_EF_MINIMUM = 64

# What an exact pass leaves of the time there is, for sending what the approximate pass found. Ending it costs its
# connection, and on a busy machine it takes 50 ms to open another.
SENDING_SHARE = 0.5
SENDING_SECONDS = 0.1

Query = str | UUID | Vector
"""What to look for: a text, a trace's id, or a vector of shape (dimensions,) and any length but 0."""


class StopReason(Enum):
    """Why no further hit follows."""

    LIMIT = "limit"
    EXHAUSTED = "exhausted"
    MIN_SIMILARITY = "min_similarity"
    SCAN_BUDGET = "scan_budget"


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """What is asked for. `ef_search` 0 leaves the number of candidates to the server.

    `fetches_full` asks for the hits' traces in the same round trip, True for whole ones; None leaves them to batches.
    """

    query: Query
    limit: int
    considered: TraceFilter = field(default_factory=TraceFilter)
    min_similarity: float = -1.0
    exact: bool = False
    ef_search: int = 0
    fetches_full: bool | None = None
    resumed_at: ResumePoint | None = None
    ranking: Ranking = Ranking.COSINE

    @property
    def candidates(self) -> int:
        """How many the approximate index keeps."""
        return self.ef_search or candidates_for(self.limit)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The hits by (distance, id). `exact` tells whether every trace was compared.

    `approximate` is what streams have sent of an approximate pass, this one included. `model_id` made the vectors.
    `traces` are those of the hits, by id, if they were fetched with them.
    """

    neighbours: "list[Neighbour]"
    stop_reason: StopReason
    exact: bool
    considered: ResolvedFilter
    model_id: str
    approximate: ApproximatePart | None = None
    traces: "dict[UUID, TraceRow] | None" = None

    def point_behind(self, neighbour: "Neighbour") -> ResumePoint | None:
        """Returns where a stream continues of which this was the last hit, None where nothing can follow."""
        if self.exact:
            return ResumePoint(approximate=self.approximate, last=neighbour)
        return ResumePoint(approximate=self.approximate and replace(self.approximate, last=neighbour))

    def explanation(self, neighbour: "Neighbour") -> Explanation:
        """Returns why the hit is where it is."""
        return Explanation(score=similarity(neighbour))


async def find(search: Search, *, deadline: Deadline, database: "Database", queries: QueryCache) -> Found:
    """Returns the `limit` nearest traces; fewer only if no more match, or if there was no time to prove it.

    Only finds traces of the model of `queries`. Encoding a text is not under the deadline.
    Raises TraceNotFound, TraceNotEncoded, EmbedderUnavailable, ModelReplaced.
    """
    # Before anything else: whether the query is one does not depend on the filter.
    query: UUID | Vector = (
        (await queries.encode(search.query)).vector if isinstance(search.query, str) else search.query
    )
    best = Found(
        neighbours=[],
        stop_reason=StopReason.SCAN_BUDGET,
        exact=False,
        considered=ResolvedFilter(asked=search.considered, tag_ids={}),
        model_id=queries.embedder.model_id,
    )
    sent: list[UUID] = []
    try:
        async with deadline.limit():
            vector = await _vector(query, database)
            considered = await trace_filter.resolved(search.considered, database)
            if considered.matches_nothing:
                return replace(best, stop_reason=StopReason.EXHAUSTED, exact=True, considered=considered)
            comparing = _Comparing(search, vector, considered, embedder=queries.embedder, database=database)
            best = replace(best, considered=considered)
            if search.resumed_at is not None:
                sent = await comparing.sent(search.resumed_at)
            elif not search.exact:
                best = await comparing.approximately()
                if best.stop_reason is StopReason.LIMIT:
                    return best
        # Only comparing every trace proves that there are no more.
        async with deadline.leaving(share=SENDING_SHARE, most=SENDING_SECONDS).limit():
            return await comparing.exactly(besides=sent)
    except TimeoutError:
        return best


def candidates_for(limit: int) -> int:
    """Returns how many the approximate index keeps for so many hits, unless the caller says otherwise."""
    return min(max(_EF_PER_HIT * limit, _EF_MINIMUM), limits.SEARCH_CANDIDATES)


def similarity(neighbour: "Neighbour") -> float:
    """Returns the cosine similarity, within -1..1."""
    return min(max(1.0 - neighbour.distance, -1.0), 1.0)


class _Comparing:
    """The two kinds of passes over the traces that a search considers."""

    def __init__(
        self, search: Search, vector: Vector, considered: ResolvedFilter, *, embedder: Embedder, database: "Database"
    ) -> None:
        self._search = search
        self._nearest = Nearest(
            vector=vector,
            model_id=embedder.model_id,
            model_version=embedder.model_version,
            limit=search.limit,
            considered=considered,
            excluded=search.query if isinstance(search.query, UUID) else None,
        )
        self._considered = considered
        self._database = database

    async def approximately(self) -> Found:
        """Returns what the index finds; LIMIT if that is enough, or else SCAN_BUDGET."""
        limit, ef_search = self._search.limit, self._search.candidates
        traces = None
        if self._search.fetches_full is None:
            neighbours = await self._by_index(limit, ef_search)
        else:
            found = await self._with_traces(ef_search, full=self._search.fetches_full)
            neighbours = [neighbour for neighbour, _ in found]
            traces = {trace.id: trace for _, trace in found}
        hits = self._similar(neighbours)
        return Found(
            neighbours=hits,
            stop_reason=StopReason.LIMIT if len(hits) == limit else StopReason.SCAN_BUDGET,
            exact=False,
            considered=self._considered,
            model_id=self._nearest.model_id,
            approximate=ApproximatePart(limit=limit, ef_search=ef_search, last=hits[-1]) if hits else None,
            traces=traces,
        )

    async def exactly(self, *, besides: list[UUID]) -> Found:
        """Returns the nearest of all but those, behind the point where the search is resumed, if it is."""
        point = self._search.resumed_at or ResumePoint()
        nearest = await self._database.read(
            lambda reading: reading.search.neighbours(self._nearest, besides=besides, behind=point.last)
        )
        hits = self._similar(nearest)
        if len(hits) == self._search.limit:
            reason = StopReason.LIMIT
        else:
            reason = StopReason.EXHAUSTED if len(hits) == len(nearest) else StopReason.MIN_SIMILARITY
        return Found(
            neighbours=hits,
            stop_reason=reason,
            exact=True,
            considered=self._considered,
            model_id=self._nearest.model_id,
            approximate=point.approximate,
        )

    async def sent(self, point: ResumePoint) -> list[UUID]:
        """Returns what was sent of an approximate pass."""
        part = point.approximate
        return [] if part is None else part.of(await self._by_index(part.limit, part.ef_search))

    async def _by_index(self, limit: int, ef_search: int) -> "list[Neighbour]":
        nearest = replace(self._nearest, limit=limit)
        return await self._database.search(lambda search: search.neighbours(nearest, ef_search=ef_search))

    async def _with_traces(self, ef_search: int, *, full: bool) -> "list[tuple[Neighbour, TraceRow]]":
        return await self._database.search(lambda search: search.hits(self._nearest, ef_search=ef_search, full=full))

    def _similar(self, neighbours: "list[Neighbour]") -> "list[Neighbour]":
        least = self._search.min_similarity
        return [neighbour for neighbour in neighbours if similarity(neighbour) >= least]


async def _vector(query: UUID | Vector, database: "Database") -> Vector:
    if isinstance(query, UUID):
        stored = await database.read(lambda reading: reading.traces.embedding_of(query))
        if stored is None:
            await database.read(lambda reading: reading.traces.require(query))
            raise TraceNotEncoded(query)
        return stored
    return unit(query)
