"""Searches in another order than that of similarity: of a list of at most a hundred, made anew for every stream."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from uuid import UUID

from commontrace.core.search.result import SearchResult
from commontrace.domain.deadline import Deadline
from commontrace.domain.search import rankings
from commontrace.domain.search.neighbours import Neighbour, NeighbourQuery
from commontrace.domain.search.query import Search, StopReason, similarity
from commontrace.domain.search.rankings import Explanation, Ranking
from commontrace.domain.search.resumption import ResumePoint
from commontrace.embeddings.embedder import unit_vector
from commontrace.embeddings.query_cache import QueryCache
from commontrace.storage.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedSearchResult(SearchResult):
    """A part of such a list; `places` are those of its traces in the whole of it, from 1, which has `length`."""

    explanations: Mapping[UUID, Explanation]
    places: Mapping[UUID, int]
    length: int

    def point_behind(self, neighbour: Neighbour) -> ResumePoint | None:
        """Returns the place, None for the last of the list."""
        place = self.places[neighbour.trace_id]
        return ResumePoint(place=place) if place < self.length else None

    def explanation(self, neighbour: Neighbour) -> Explanation:
        """Returns what the hit's score is made of."""
        return self.explanations[neighbour.trace_id]


async def ranked(
    search: Search, found: SearchResult, *, deadline: Deadline, database: Database, queries: QueryCache
) -> RankedSearchResult:
    """Returns the part of the list that the stream is to hold; `found` are the hundred nearest.

    Where the deadline leaves no time for the order, it is that of similarity, and the reason SCAN_BUDGET. Raises
    EmbedderUnavailable, FilterTooSlow, ModelReplaced.
    """
    neighbours = {neighbour.trace_id: neighbour for neighbour in found.neighbours}
    explained = rankings.fused(list(neighbours), {})
    try:
        async with deadline.limit():
            if search.ranking is Ranking.TRUST_WEIGHTED:
                tallies = await database.read(lambda reading: reading.votes.tallies(neighbours))
                similarities = {neighbour.trace_id: similarity(neighbour) for neighbour in found.neighbours}
                explained = rankings.by_trust(similarities, tallies)
            else:
                ranks = await _by_words(search, found, database=database, queries=queries)
                explained = rankings.fused(
                    list(neighbours), {neighbour.trace_id: rank for neighbour, rank in ranks.items()}
                )
                neighbours |= {
                    neighbour.trace_id: neighbour for neighbour in ranks if neighbour.trace_id not in neighbours
                }
    except TimeoutError:
        found = replace(found, stop_reason=StopReason.SCAN_BUDGET)

    def place(neighbour: Neighbour) -> tuple[float, float, UUID]:
        return -explained[neighbour.trace_id].score, neighbour.distance, neighbour.trace_id

    return _part(search, found, sorted(neighbours.values(), key=place)[: rankings.RANKED], explained)


async def _by_words(
    search: Search, found: SearchResult, *, database: Database, queries: QueryCache
) -> dict[Neighbour, int]:
    """Returns the traces that share the rarest words with the text, and their places by these."""
    assert isinstance(search.query, str)  # noqa: S101 - validated
    if found.exact and not found.neighbours:
        return {}
    text = search.query
    nearest = NeighbourQuery(
        vector=unit_vector((await queries.encode(text)).vector),
        model_id=queries.embedder.model_id,
        model_version=queries.embedder.model_version,
        limit=rankings.RANKED_BY_WORDS + 1,
        trace_filter=found.trace_filter,
    )
    holders = await database.read(lambda reading: reading.words.holders(text, nearest), under=found.trace_filter)
    ranks = rankings.lexical_ranks({holder.neighbour.trace_id: holder.weight for holder in holders})
    return {
        holder.neighbour: ranks[holder.neighbour.trace_id]
        for holder in holders
        if holder.neighbour.trace_id in ranks and similarity(holder.neighbour) >= search.min_similarity
    }


def _part(
    search: Search, found: SearchResult, ranked: list[Neighbour], explained: Mapping[UUID, Explanation]
) -> RankedSearchResult:
    """Returns the part of the list that the stream is to hold."""
    skipped = search.resumed_at.place if search.resumed_at else 0
    hits = ranked[skipped : skipped + search.limit]
    is_full = len(hits) == search.limit and found.stop_reason is not StopReason.SCAN_BUDGET
    whole = {field.name: getattr(found, field.name) for field in fields(found)}
    part = {"neighbours": hits, "stop_reason": StopReason.LIMIT if is_full else found.stop_reason}
    return RankedSearchResult(
        **(whole | part),
        explanations=explained,
        places={neighbour.trace_id: place for place, neighbour in enumerate(hits, start=skipped + 1)},
        length=len(ranked),
    )
