"""Measures of search quality, against values computed by hand."""

import pytest

from bench.metrics import first_rank, mean_reciprocal_rank, recall_at

# First, second, fourth, and not found.
RANKS = [1, 2, 4, None]


def test_the_rank_is_the_place_of_the_first_expected_trace() -> None:
    assert first_rank(["a", "b", "c"], {"a"}) == 1
    assert first_rank(["a", "b", "c"], {"c"}) == 3
    assert first_rank(["a", "b", "c"], {"c", "b"}) == 2


@pytest.mark.parametrize(("ranking", "expected"), [(["a", "b"], {"c"}), ([], {"a"}), (["a"], set())])
def test_without_an_expected_trace_there_is_no_rank(ranking: list[str], expected: set[str]) -> None:
    assert first_rank(ranking, expected) is None


@pytest.mark.parametrize(("k", "recall"), [(1, 1 / 4), (2, 2 / 4), (3, 2 / 4), (4, 3 / 4), (100, 3 / 4)])
def test_recall_counts_the_ranks_up_to_k(k: int, recall: float) -> None:
    assert recall_at(k, RANKS) == recall


def test_the_mean_reciprocal_rank_weighs_every_place() -> None:
    # 1 + 1/2 + 1/4 + 0 = 7/4, over four.
    assert mean_reciprocal_rank(RANKS) == 7 / 16
    assert mean_reciprocal_rank([1, 1]) == 1
    assert mean_reciprocal_rank([None]) == 0


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to take the mean of"):
        recall_at(1, [])
    with pytest.raises(ValueError, match="nothing to take the mean of"):
        mean_reciprocal_rank([])
