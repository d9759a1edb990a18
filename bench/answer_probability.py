"""Calibration of the answer probability (ADR 0060): fit, calibration error, and what each verdict keeps and loses.

Each question that has an answer is counted twice: with its answer among the traces, and without it, as if nobody had
contributed it. So half of all questions have an answer. Questions that never had one are not fitted, but counted.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.metrics import first_rank
from commontrace.domain.search.verdict import Calibration, Verdict, verdict_of

FIRST = 3
"""A question is answered by a trace among so many first hits by similarity."""
_PARTS = 5
_NEWTON_STEPS = 30
_Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question by the cosine similarity of the most similar trace, and whether its answer is among the first hits.

    `without_answer` is the similarity of the most similar trace that does not answer it; None for a question that has
    no answer anyway.
    """

    similarity: float
    is_answered: bool
    without_answer: float | None

    @classmethod
    def of(cls, found: Sequence[tuple[str, float]], expected: AbstractSet[str]) -> "Question":
        """Returns the question that found traces by label and similarity, the most similar first."""
        rank = first_rank([label for label, _ in found], expected)
        return cls(
            similarity=found[0][1],
            is_answered=rank is not None and rank <= FIRST,
            without_answer=next(other for label, other in found if label not in expected) if expected else None,
        )


class _Samples(NamedTuple):
    """Similarities and outcomes, 1 for answered, both of shape (samples,)."""

    similarities: _Floats
    outcomes: _Floats


def _samples(questions: Iterable[Question]) -> _Samples:
    """Returns two samples of each question that has an answer: with the answer, and without it."""
    pairs = [
        pair
        for one in questions
        if one.without_answer is not None
        for pair in ((one.similarity, float(one.is_answered)), (one.without_answer, 0.0))
    ]
    similarities, outcomes = np.array(pairs).T
    return _Samples(similarities, outcomes)


def fit(questions: Iterable[Question]) -> Calibration:
    """Returns the calibration of the highest likelihood, by Newton's method (logistic regression)."""
    samples = _samples(questions)
    inputs = np.stack([np.ones_like(samples.similarities), samples.similarities], axis=1)
    weights = np.zeros(2)
    for _ in range(_NEWTON_STEPS):
        predicted = 1 / (1 + np.exp(-inputs @ weights))
        hessian = (inputs * (predicted * (1 - predicted))[:, None]).T @ inputs
        weights += np.linalg.solve(hessian, inputs.T @ (samples.outcomes - predicted))
    return Calibration(intercept=round(float(weights[0]), 2), slope=round(float(weights[1]), 2))


def print_calibration(name: str, questions: Sequence[Question], calibration: Calibration) -> None:
    """Prints predicted and observed shares by fifths of the samples, and their mean difference.

    That is the expected calibration error (ECE) of Naeini, Cooper and Hauskrecht 2015, "Obtaining well calibrated
    probabilities using Bayesian binning", with bins of equal size.
    """
    samples = _samples(questions)
    order = np.argsort(samples.similarities, kind="stable")
    fifths = []
    for part in np.array_split(order, _PARTS):
        predicted = float(np.mean([calibration.probability(value) for value in samples.similarities[part]]))
        fifths.append((predicted, float(samples.outcomes[part].mean()), len(part)))
    error = sum(abs(predicted - observed) * size for predicted, observed, size in fifths) / len(order)
    print(f"{name:28} predicted " + " ".join(f"{predicted:5.2f}" for predicted, _, _ in fifths))
    print(
        f"{f'  {len(order)} samples':28} observed  " + " ".join(f"{observed:5.2f}" for _, observed, _ in fifths), end=""
    )
    print(f"   ECE {error:.3f}")


def print_verdicts(name: str, questions: Sequence[Question], calibration: Calibration) -> None:
    """Prints the shares of each verdict: UNLIKELY loses answers that were found, and is right about what has none."""
    with_answer = [one for one in questions if one.without_answer is not None]
    groups: dict[str, list[float]] = {
        "answer among the first 3": [one.similarity for one in with_answer if one.is_answered],
        "answer further down": [one.similarity for one in with_answer if not one.is_answered],
        "its answer left out": [one.without_answer for one in with_answer if one.without_answer is not None],
        "never had an answer": [one.similarity for one in questions if one.without_answer is None],
    }
    print(f"\n{name:28} {'number':>7}" + "".join(f"{verdict.name:>11}" for verdict in Verdict))
    for group, similarities in groups.items():
        verdicts = [verdict_of(calibration.probability(similarity)) for similarity in similarities]
        shares = (verdicts.count(verdict) / max(len(verdicts), 1) for verdict in Verdict)
        print(f"{group:28} {len(verdicts):7}" + "".join(f"{share:11.3f}" for share in shares))


def print_report(sets: dict[str, Sequence[Question]], calibration: Calibration) -> None:
    """Prints calibration and verdicts of each set of questions by its name."""
    print(f"\nanswer probability: intercept {calibration.intercept}, slope {calibration.slope}")
    for name, questions in sets.items():
        print_calibration(name, questions, calibration)
    for name, questions in sets.items():
        print_verdicts(name, questions, calibration)
