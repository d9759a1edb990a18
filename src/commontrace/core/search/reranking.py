"""Rankings other than by similarity: re-ranking of the hundred nearest by votes, or fusion with keywords.

ADR 0025 describes the votes, ADR 0057 the fusion, ADR 0058 the late interaction that re-ranks the first of a fusion.

The list has at most a hundred traces, and is made anew for every stream.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import NamedTuple
from uuid import UUID

from commontrace.core.search.result import SearchResult
from commontrace.domain.deadline import Deadline
from commontrace.domain.errors import FilterTooSlow
from commontrace.domain.search import rankings
from commontrace.domain.search.neighbours import Neighbour, NeighbourQuery, ResumePoint
from commontrace.domain.search.query import Search, StopReason
from commontrace.domain.search.rankings import Explanation, Ranking
from commontrace.embeddings.embedder import unit_vector
from commontrace.embeddings.query_cache import QueryCache
from commontrace.embeddings.token_signs import late_interaction
from commontrace.storage.database import Database
from commontrace.storage.search.keyword import KeywordMatch


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedSearchResult(SearchResult):
    """Part of a ranked list of `length` traces; `ranks` are the ranks of its traces in the whole list, from 1."""

    explanations: Mapping[UUID, Explanation]
    ranks: Mapping[UUID, int]
    length: int

    def resume_point(self, neighbour: Neighbour) -> ResumePoint | None:
        """Returns the neighbour's rank, None for the last of the list."""
        rank = self.ranks[neighbour.trace_id]
        return ResumePoint(rank=rank) if rank < self.length else None

    def explanation(self, neighbour: Neighbour) -> Explanation:
        """Returns the hit's score and its parts."""
        return self.explanations[neighbour.trace_id]


class _Order(NamedTuple):
    """A ranked list of traces and the explanations of their ranks."""

    neighbours: list[Neighbour]
    explanations: Mapping[UUID, Explanation]


async def rank(
    search: Search, nearest: SearchResult, *, deadline: Deadline, database: Database, queries: QueryCache
) -> RankedSearchResult:
    """Returns the part of the ranked list that the stream holds; `nearest` has the hundred nearest traces.

    Where the deadline or the filter's budget leaves no time for the ranking, the order is that of similarity, or of the
    fusion if it was done, and the stop reason SCAN_BUDGET. Raises EmbedderUnavailable, ModelReplaced, and FilterTooSlow
    where there are no neighbours.
    """
    order = None
    try:
        async with deadline.limit():
            if search.ranking is Ranking.TRUST_WEIGHTED:
                order = await _trust_order(nearest, database=database)
            else:
                order = await _fusion_order(search, nearest, database=database, queries=queries)
            if search.ranking is Ranking.BEST:
                order = await _token_order(search, nearest, order, database=database, queries=queries)
    except (TimeoutError, FilterTooSlow) as error:
        if isinstance(error, FilterTooSlow) and not nearest.neighbours:
            raise
        nearest = replace(nearest, stop_reason=StopReason.SCAN_BUDGET)
    if order is None:
        order = _ordered(nearest.neighbours, rankings.fuse(_similarities(nearest), {}, {}))
    return _part(search, nearest, order)


async def _trust_order(nearest: SearchResult, *, database: Database) -> _Order:
    similarities = _similarities(nearest)
    tallies = await database.read(
        lambda reading: reading.votes.get_tallies(similarities, nearest.trace_filter.namespaces)
    )
    return _ordered(nearest.neighbours, rankings.rerank_by_trust(similarities, tallies))


async def _fusion_order(search: Search, nearest: SearchResult, *, database: Database, queries: QueryCache) -> _Order:
    matches = await _keyword_matches(search, nearest, database=database, queries=queries)
    explanations = rankings.fuse(
        _similarities(nearest),
        {match.neighbour.trace_id: match.neighbour.similarity for match in matches},
        {match.neighbour.trace_id: match.weight for match in matches},
    )
    neighbours = [*(match.neighbour for match in matches), *nearest.neighbours]
    return _ordered({neighbour.trace_id: neighbour for neighbour in neighbours}.values(), explanations)


async def _token_order(
    search: Search, nearest: SearchResult, fusion: _Order, *, database: Database, queries: QueryCache
) -> _Order:
    """Re-ranks the first of the fusion by late interaction, as far as they have tokens of the model."""
    assert isinstance(search.query, str)  # noqa: S101 - validated
    query = (await queries.encode(search.query)).token_signs
    if query is None or not len(query.signs):
        return fusion
    version, dimensions = queries.embedder.model_version, queries.embedder.dimensions
    first = [neighbour.trace_id for neighbour in fusion.neighbours[: rankings.RERANKED_BY_TOKENS]]
    namespaces = nearest.trace_filter.namespaces
    tokens = await database.read(
        lambda reading: reading.trace_tokens.get_many(first, namespaces, model_version=version)
    )
    if not tokens:
        return fusion
    # In a thread, since it may take milliseconds; numpy releases the GIL.
    similarities = await asyncio.to_thread(late_interaction, query, list(tokens.values()), dimensions=dimensions)
    by_tokens = dict(zip(tokens, similarities, strict=True))
    return _ordered(fusion.neighbours, rankings.rerank_by_tokens(fusion.explanations, first, by_tokens))


def _similarities(nearest: SearchResult) -> dict[UUID, float]:
    return {neighbour.trace_id: neighbour.similarity for neighbour in nearest.neighbours}


def _ordered(neighbours: Iterable[Neighbour], explanations: Mapping[UUID, Explanation]) -> _Order:
    """Returns at most a hundred traces by their scores; equals by similarity, then by id."""

    def sort_key(neighbour: Neighbour) -> tuple[float, float, UUID]:
        return -explanations[neighbour.trace_id].score, *neighbour.sort_key

    return _Order(sorted(neighbours, key=sort_key)[: rankings.RANKED], explanations)


async def _keyword_matches(
    search: Search, nearest: SearchResult, *, database: Database, queries: QueryCache
) -> list[KeywordMatch]:
    """Returns the traces that hold the rarest words of the text."""
    assert isinstance(search.query, str)  # noqa: S101 - validated
    if nearest.exact and not nearest.neighbours:
        return []
    text = search.query
    query = NeighbourQuery(
        vector=unit_vector((await queries.encode(text)).vector),
        model_id=queries.embedder.model_id,
        model_version=queries.embedder.model_version,
        limit=rankings.RANKED_BY_KEYWORDS + 1,
        trace_filter=nearest.trace_filter,
    )
    matches = await database.read(
        lambda reading: reading.keyword_search.find_matches(text, query), trace_filter=nearest.trace_filter
    )
    complete = rankings.complete_matches({match.neighbour.trace_id: match.weight for match in matches})
    return [
        match
        for match in matches
        if match.neighbour.trace_id in complete and match.neighbour.similarity >= search.min_similarity
    ]


def _part(search: Search, nearest: SearchResult, order: _Order) -> RankedSearchResult:
    """Returns the part of the ranked list that the stream holds."""
    skipped = search.resumed_at.rank if search.resumed_at else 0
    hits = order.neighbours[skipped : skipped + search.limit]
    is_full = len(hits) == search.limit and nearest.stop_reason is not StopReason.SCAN_BUDGET
    whole = {field.name: getattr(nearest, field.name) for field in fields(nearest)}
    part = {"neighbours": hits, "stop_reason": StopReason.LIMIT if is_full else nearest.stop_reason}
    return RankedSearchResult(
        **(whole | part),
        explanations=order.explanations,
        ranks={neighbour.trace_id: rank for rank, neighbour in enumerate(hits, start=skipped + 1)},
        length=len(order.neighbours),
    )
