"""Rankings of hits other than by similarity: re-ranking by votes (ADR 0025), score fusion with keywords (ADR 0057)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from commontrace.domain.votes.trust import Tally, trust_score

RANKED = 100
"""Length of such a list: the most traces that it holds."""

RANKED_BY_KEYWORDS = 50
"""Length of the list of keyword matches. Further down, single common words decide."""

# The most that votes add to a similarity, or take from it: the least bound at which confirmed traces mostly pass
# rejected ones on the same problem (ADR 0025).
_TRUST_BOUND = 0.05

# The share of the keyword score; the rest is that of the similarity (ADR 0057).
_KEYWORD_SHARE = 0.5


class Ranking(Enum):
    """Order of hits."""

    COSINE = "cosine"
    TRUST_WEIGHTED = "trust_weighted"
    HYBRID = "hybrid"
    BEST = "best"


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """Score of a hit, which decides its rank, and the parts that the score is made of. Ranks begin at 1.

    A rank is None where the hit is not in that list, or the ranking does not use the list.
    """

    score: float
    vector_rank: int | None = None
    lexical_rank: int | None = None
    trust_bonus: float = 0.0


def trust_bonus(tally: Tally) -> float:
    """Returns what the votes on a trace's current revision add to its similarity, within -0.05..0.05.

    The bonus is proportional to the trust score minus the trust score of the opposite votes: 0 without votes.
    """
    opposite = Tally(up_count=tally.down_count, down_count=tally.up_count)
    return _TRUST_BOUND * (trust_score(tally) - trust_score(opposite))


def rerank_by_trust(similarities: Mapping[UUID, float], tallies: Mapping[UUID, Tally]) -> dict[UUID, Explanation]:
    """Scores each trace by its similarity and its votes. The similarities are in descending order."""
    explanations = {}
    for rank, (trace_id, similarity) in enumerate(similarities.items(), start=1):
        bonus = trust_bonus(tallies.get(trace_id, Tally()))
        explanations[trace_id] = Explanation(score=similarity + bonus, vector_rank=rank, trust_bonus=bonus)
    return explanations


def complete_matches(weights: Mapping[UUID, float]) -> dict[UUID, float]:
    """Returns the weights of keyword matches without those of which some were cut off.

    With more than 50 matches, the list was cut off: the lightest are left out with all their equals.
    """
    if len(weights) <= RANKED_BY_KEYWORDS:
        return dict(weights)
    least = min(weights.values())
    return {trace_id: weight for trace_id, weight in weights.items() if weight > least}


def lexical_ranks(weights: Mapping[UUID, float]) -> dict[UUID, int]:
    """Returns the ranks of keyword matches by the weights of their words, the heaviest first. Equals share a rank."""
    descending = sorted(weights.values(), reverse=True)
    return {trace_id: descending.index(weight) + 1 for trace_id, weight in weights.items()}


def fuse(
    nearest: Mapping[UUID, float], matches: Mapping[UUID, float], weights: Mapping[UUID, float]
) -> dict[UUID, Explanation]:
    """Scores each trace by similarity and keywords, half each (score fusion), within 0..1.

    `nearest` are the similarities of the hundred nearest, in descending order: the first counts 1, the last 0.
    `matches` are the similarities of the keyword matches, and `weights` those of their words: the heaviest counts 1.
    """
    similarities = {**matches, **nearest}
    first, last = (max(nearest.values()), min(nearest.values())) if nearest else (0.0, 0.0)
    heaviest = max(weights.values(), default=0.0)
    vector_ranks = {trace_id: rank for rank, trace_id in enumerate(nearest, start=1)}
    ranks = lexical_ranks(weights)

    def score(trace_id: UUID) -> float:
        similarity = similarities[trace_id]
        scaled = (similarity - last) / (first - last) if first > last else float(similarity >= first)
        keywords = weights[trace_id] / heaviest if trace_id in weights else 0.0
        return (1 - _KEYWORD_SHARE) * min(max(scaled, 0.0), 1.0) + _KEYWORD_SHARE * keywords

    return {
        trace_id: Explanation(
            score=score(trace_id), vector_rank=vector_ranks.get(trace_id), lexical_rank=ranks.get(trace_id)
        )
        for trace_id in similarities
    }
