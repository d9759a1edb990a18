"""Rankings other than by similarity: re-ranking of the hundred nearest by votes, or fusion with keywords.

ADR 0025 describes the votes, ADR 0057 the fusion, ADR 0058 the late interaction that re-ranks the first of a fusion.

The list has at most a hundred traces, and is made anew for every stream.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from uuid import UUID

from commontrace.core.search.result import SearchResult
from commontrace.domain.deadline import Deadline
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


async def rank(
    search: Search, nearest: SearchResult, *, deadline: Deadline, database: Database, queries: QueryCache
) -> RankedSearchResult:
    """Returns the part of the ranked list that the stream holds; `nearest` has the hundred nearest traces.

    Where the deadline leaves no time for the ranking, the order is that of similarity, or that of the fusion if it was
    done, and the stop reason SCAN_BUDGET. Raises EmbedderUnavailable, FilterTooSlow, ModelReplaced.
    """
    neighbours = {neighbour.trace_id: neighbour for neighbour in nearest.neighbours}
    similarities = {trace_id: neighbour.similarity for trace_id, neighbour in neighbours.items()}
    explanations: Mapping[UUID, Explanation] | None = None

    def ranked() -> list[Neighbour]:
        assert explanations is not None  # noqa: S101 - set below, before each call
        scores = {trace_id: explanation.score for trace_id, explanation in explanations.items()}
        by_score = sorted(neighbours.values(), key=lambda one: (-scores[one.trace_id], *one.sort_key))
        return by_score[: rankings.RANKED]

    try:
        async with deadline.limit():
            if search.ranking is Ranking.TRUST_WEIGHTED:
                tallies = await database.read(lambda reading: reading.votes.get_tallies(neighbours))
                explanations = rankings.rerank_by_trust(similarities, tallies)
            else:
                matches = await _keyword_matches(search, nearest, database=database, queries=queries)
                explanations = rankings.fuse(
                    similarities,
                    {match.neighbour.trace_id: match.neighbour.similarity for match in matches},
                    {match.neighbour.trace_id: match.weight for match in matches},
                )
                neighbours = {match.neighbour.trace_id: match.neighbour for match in matches} | neighbours
            if search.ranking is Ranking.BEST:
                first = [neighbour.trace_id for neighbour in ranked()[: rankings.RERANKED_BY_TOKENS]]
                by_tokens = await _token_similarities(search, first, database=database, queries=queries)
                explanations = rankings.rerank_by_tokens(explanations, first, by_tokens)
    except TimeoutError:
        if explanations is None:
            explanations = rankings.fuse(similarities, {}, {})
        nearest = replace(nearest, stop_reason=StopReason.SCAN_BUDGET)
    return _part(search, nearest, ranked(), explanations)


async def _token_similarities(
    search: Search, trace_ids: list[UUID], *, database: Database, queries: QueryCache
) -> dict[UUID, float]:
    """Returns the late interaction of the text with those of the traces that have tokens of the model."""
    assert isinstance(search.query, str)  # noqa: S101 - validated
    query = (await queries.encode(search.query)).token_signs
    if query is None or not len(query.signs):
        return {}
    version, dimensions = queries.embedder.model_version, queries.embedder.dimensions
    tokens = await database.read(lambda reading: reading.trace_tokens.get_many(trace_ids, model_version=version))
    if not tokens:
        return {}
    # In a thread, since it may take milliseconds; numpy releases the GIL.
    similarities = await asyncio.to_thread(late_interaction, query, list(tokens.values()), dimensions=dimensions)
    return dict(zip(tokens, similarities, strict=True))


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


def _part(
    search: Search, nearest: SearchResult, ranked: list[Neighbour], explanations: Mapping[UUID, Explanation]
) -> RankedSearchResult:
    """Returns the part of the ranked list that the stream holds."""
    skipped = search.resumed_at.rank if search.resumed_at else 0
    hits = ranked[skipped : skipped + search.limit]
    is_full = len(hits) == search.limit and nearest.stop_reason is not StopReason.SCAN_BUDGET
    whole = {field.name: getattr(nearest, field.name) for field in fields(nearest)}
    part = {"neighbours": hits, "stop_reason": StopReason.LIMIT if is_full else nearest.stop_reason}
    return RankedSearchResult(
        **(whole | part),
        explanations=explanations,
        ranks={neighbour.trace_id: rank for rank, neighbour in enumerate(hits, start=skipped + 1)},
        length=len(ranked),
    )
