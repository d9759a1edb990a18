"""Rankings of hits other than by similarity: re-ranking by votes, reciprocal rank fusion with keywords (ADR 0025)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
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

# The constant k of reciprocal rank fusion. G. Cormack, C. Clarke and S. Büttcher, "Reciprocal Rank Fusion outperforms
# Condorcet and individual Rank Learning Methods", SIGIR 2009.
_FUSION = 60


class Ranking(Enum):
    """Order of hits."""

    COSINE = "cosine"
    TRUST_WEIGHTED = "trust_weighted"
    HYBRID = "hybrid"


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


def lexical_ranks(weights: Mapping[UUID, float]) -> dict[UUID, int]:
    """Returns the ranks of keyword matches by the weights of their words, the heaviest first.

    Equal weights share a rank, so that words decide nothing between them. With more than 50 matches, the list was cut
    off: the lightest are left out with all their equals, because some of these were cut off.
    """
    if len(weights) > RANKED_BY_KEYWORDS:
        least = min(weights.values())
        weights = {trace_id: weight for trace_id, weight in weights.items() if weight > least}
    descending = sorted(weights.values(), reverse=True)
    return {trace_id: descending.index(weight) + 1 for trace_id, weight in weights.items()}


def fuse(by_vector: Sequence[UUID], lexical_ranks: Mapping[UUID, int]) -> dict[UUID, Explanation]:
    """Scores each trace by its ranks in two lists (reciprocal rank fusion): the sum of 1 / (60 + rank)."""
    scores: defaultdict[UUID, float] = defaultdict(float)
    vector_ranks = {trace_id: rank for rank, trace_id in enumerate(by_vector, start=1)}
    for ranks in (vector_ranks, lexical_ranks):
        for trace_id, rank in ranks.items():
            scores[trace_id] += 1 / (_FUSION + rank)
    return {
        trace_id: Explanation(
            score=score, vector_rank=vector_ranks.get(trace_id), lexical_rank=lexical_ranks.get(trace_id)
        )
        for trace_id, score in scores.items()
    }
