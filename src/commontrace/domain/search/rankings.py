"""Orders of hits other than by similarity alone: what each goes by, and how far it may go."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from commontrace.domain.votes.trust import Tally, trust_score

RANKED = 100
"""How many traces such an order holds."""

RANKED_BY_WORDS = 50
"""How many the order by words holds: further down it is a matter of single common words."""

# What votes can add or take. The least at which confirmed traces mostly pass rejected ones on the same problem.
_TRUST_BOUND = 0.05

# The constant of G. Cormack, C. Clarke and S. Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual
# Rank Learning Methods", SIGIR 2009.
_FUSION = 60


class Ranking(Enum):
    """What hits are ordered by."""

    COSINE = "cosine"
    TRUST_WEIGHTED = "trust_weighted"
    HYBRID = "hybrid"


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """Why a hit is where it is: `score` decides, the rest is what it is made of. Ranks begin at 1.

    None stands for a rank that the hit has not, or that the order does not go by.
    """

    score: float
    vector_rank: int | None = None
    lexical_rank: int | None = None
    trust_bonus: float = 0.0


def trust_bonus(tally: Tally) -> float:
    """Returns what the votes on a trace's current revision add to its similarity, within -0.05..0.05.

    It is in proportion to the trust score less what that would be if UP were DOWN: nothing without votes.
    """
    against = Tally(up_count=tally.down_count, down_count=tally.up_count)
    return _TRUST_BOUND * (trust_score(tally) - trust_score(against))


def by_trust(similarities: Mapping[UUID, float], tallies: Mapping[UUID, Tally]) -> dict[UUID, Explanation]:
    """Explains each trace by its similarity and its votes. The similarities are in their order."""
    explained = {}
    for rank, (trace_id, similarity) in enumerate(similarities.items(), start=1):
        bonus = trust_bonus(tallies.get(trace_id, Tally()))
        explained[trace_id] = Explanation(score=similarity + bonus, vector_rank=rank, trust_bonus=bonus)
    return explained


def lexical_ranks(weights: Mapping[UUID, float]) -> dict[UUID, int]:
    """Returns the places of traces by the weights of the words they hold, the heaviest first.

    Equals share a place: between them the words decide nothing. More than 50 traces stand for many more: the last are
    left out with all their equals, of which some are not there.
    """
    if len(weights) > RANKED_BY_WORDS:
        least = min(weights.values())
        weights = {trace_id: weight for trace_id, weight in weights.items() if weight > least}
    heavier = sorted(weights.values(), reverse=True)
    return {trace_id: heavier.index(weight) + 1 for trace_id, weight in weights.items()}


def fused(by_vector: Sequence[UUID], lexical_ranks: Mapping[UUID, int]) -> dict[UUID, Explanation]:
    """Explains each trace by its places in two orders: the sum of 1 / (60 + rank)."""
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
