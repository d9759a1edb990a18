from math import sqrt
from statistics import NormalDist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commontrace.domain.traces.contribution import PENDING, VALIDATED
from commontrace.domain.votes.trust import Standing, Tally, standing, trust_score

# The same examples in every run, however busy the machine.
stable = settings(derandomize=True, database=None, deadline=None, max_examples=500)
_counts = st.integers(0, 30) | st.integers(0, 2**31 - 1)
_thresholds = st.integers(1, 30) | st.integers(1, 1_000_000)


def the_standing(up: int, down: int, threshold: int, *, is_seed: bool = False) -> Standing:
    return standing(Tally(up_count=up, down_count=down), validation_threshold=threshold, is_seed=is_seed)


def score(up: int, down: int) -> float:
    return trust_score(Tally(up_count=up, down_count=down))


@pytest.mark.parametrize(
    ("up", "down", "expected"),
    [(0, 0, 0.0), (1, 0, 0.206549), (2, 0, 0.342380), (1, 1, 0.094531), (10, 0, 0.722467), (3, 1, 0.300642)],
)
def test_scores_as_tables_have_them(up: int, down: int, expected: float) -> None:
    assert score(up, down) == pytest.approx(expected, abs=1e-6)


@stable
@given(st.integers(1, 10_000), st.integers(0, 10_000))
def test_the_score_is_where_what_was_seen_is_just_within_the_interval(up: int, down: int) -> None:
    # Wilson's own definition: the share seen lies z standard deviations above the bound.
    bound, votes = score(up, down), up + down
    deviation = sqrt(bound * (1 - bound) / votes)
    assert up / votes - bound == pytest.approx(NormalDist().inv_cdf(0.975) * deviation, rel=1e-6)


@stable
@given(_counts, _counts)
def test_the_score_lies_between_zero_and_the_share_of_up(up: int, down: int) -> None:
    share = up / (up + down) if up + down else 0.0
    assert 0.0 <= score(up, down) <= share
    assert (score(up, down) > 0) == (up > 0)


@stable
@given(_counts, _counts)
def test_an_up_never_lowers_the_score_and_a_down_never_raises_it(up: int, down: int) -> None:
    before = score(up, down)
    assert score(up + 1, down) >= before - 1e-12
    assert score(up, down + 1) <= before + 1e-12


@stable
@given(st.integers(1, 1_000), st.integers(0, 1_000))
def test_more_votes_of_the_same_shares_are_trusted_more(up: int, down: int) -> None:
    assert score(2 * up, 2 * down) > score(up, down)


@stable
@given(_counts, _counts, _thresholds)
def test_a_trace_is_validated_while_enough_confirm_it_and_they_outnumber_the_others(
    up: int, down: int, threshold: int
) -> None:
    decided = the_standing(up, down, threshold)
    assert (decided.status == VALIDATED) == (up >= threshold and up > down)
    assert decided.status in (VALIDATED, PENDING)
    assert (decided.confirmation_count, decided.down_count) == (up, down)
    assert decided.trust_score == score(up, down)


@stable
@given(_counts, _counts, _thresholds)
def test_a_seed_is_validated_whatever_the_votes_say(up: int, down: int, threshold: int) -> None:
    seed, other = the_standing(up, down, threshold, is_seed=True), the_standing(up, down, threshold)
    assert seed.status == VALIDATED
    assert (seed.confirmation_count, seed.down_count, seed.trust_score) == (up, down, other.trust_score)
