"""Exponential back-off with jitter."""

import random

import pytest

from commontrace.backoff import backoff_seconds


@pytest.mark.parametrize(("attempt", "bound"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 3.0), (5, 3.0), (100_000, 3.0)])
def test_pauses_stay_within_the_upper_half_of_a_bound_that_doubles_to_a_cap(attempt: int, bound: float) -> None:
    pauses = [backoff_seconds(attempt, first=0.5, longest=3.0) for _ in range(1000)]
    assert all(bound / 2 <= pause <= bound for pause in pauses)
    assert min(pauses) < 0.55 * bound
    assert max(pauses) > 0.95 * bound


def test_mean_pauses_grow() -> None:
    means = [sum(backoff_seconds(n, first=0.1, longest=10.0) for _ in range(300)) / 300 for n in range(1, 7)]
    assert means == sorted(means)
    assert means[-1] == pytest.approx(32 * means[0], rel=0.2)


def test_two_clients_do_not_wait_the_same_times() -> None:
    first, second = ([backoff_seconds(n, first=0.1, longest=2.0) for n in range(1, 6)] for _ in range(2))
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_a_seed_makes_pauses_repeatable() -> None:
    random.seed(7)
    first = backoff_seconds(3, first=0.1, longest=2.0)
    random.seed(7)
    assert backoff_seconds(3, first=0.1, longest=2.0) == first
