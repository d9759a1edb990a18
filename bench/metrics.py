"""Quality metrics of rankings. A rank is the place of the first expected trace, from 1 on, or None without one."""

from collections.abc import Collection, Iterable, Sequence


def first_rank(ranking: Iterable[str], expected: Collection[str]) -> int | None:
    """Returns the place of the first element of the ranking that is among the expected ones."""
    return next((place for place, found in enumerate(ranking, start=1) if found in expected), None)


def recall_at(k: int, ranks: Sequence[int | None]) -> float:
    """Returns the share of the rankings that have an expected trace among the first k, within 0..1.

    Recall@K as in Karpathy and Fei-Fei 2015 (arXiv:1412.2306), section 4.1: where several answers are right, one of
    them is enough. Raises ValueError without ranks.
    """
    return _mean([rank is not None and rank <= k for rank in ranks])


def mean_reciprocal_rank(ranks: Sequence[int | None]) -> float:
    """Returns the mean of 1 / rank, 0 where there is none, within 0..1.

    Voorhees 1999, "The TREC-8 Question Answering Track Report". Raises ValueError without ranks.
    """
    return _mean([0.0 if rank is None else 1 / rank for rank in ranks])


def _mean(values: Sequence[float]) -> float:
    if not values:
        raise ValueError("there is nothing to take the mean of")
    return sum(values) / len(values)
