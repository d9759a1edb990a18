"""Trust: a trace's score (Wilson lower bound) and status, derived from its votes (ADR 0009)."""

from dataclasses import dataclass
from math import sqrt

from commontrace.domain.traces.contribution import PENDING, VALIDATED

# The normal distribution's quantile for a two-sided interval of 95 %.
_Z = 1.959963984540054


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """Numbers of votes on a trace's current revision."""

    up_count: int = 0
    down_count: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Counts, score and status of a trace, derived from its votes. The names are those of the stored columns."""

    confirmation_count: int
    down_count: int
    trust_score: float
    status: str


def standing(tally: Tally, *, validation_threshold: int, is_seed: bool) -> Standing:
    """Returns the standing that follows from the votes. Seeds are validated whatever the votes."""
    is_confirmed = tally.up_count >= validation_threshold and tally.up_count > tally.down_count
    return Standing(
        confirmation_count=tally.up_count,
        down_count=tally.down_count,
        trust_score=trust_score(tally),
        status=VALIDATED if is_seed or is_confirmed else PENDING,
    )


def trust_score(tally: Tally) -> float:
    """Returns the lower bound of the 95 % Wilson score interval of UP among the votes, 0 without votes.

    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal of the American
    Statistical Association 22 (1927), 209-212: with p = up / n, the bound is
    (p + z²/2n - z √(p(1-p)/n + z²/4n²)) / (1 + z²/n), here multiplied by n above and below.
    """
    up, down = tally.up_count, tally.down_count
    votes = up + down
    if votes == 0:
        return 0.0
    bound = (up + _Z**2 / 2 - _Z * sqrt(up * down / votes + _Z**2 / 4)) / (votes + _Z**2)
    # Rounding errors may lead just outside of 0..1.
    return min(max(bound, 0.0), 1.0)
