"""The fit of the answer probability, on questions whose constants are known, and its tables."""

import math
from random import Random

import pytest

from bench.answer_probability import Question, fit, print_calibration, print_verdicts
from commontrace.domain.search.verdict import Calibration

TRUE = Calibration(intercept=-4.0, slope=9.0)


def questions(count: int) -> list[Question]:
    """Questions whose outcomes are drawn by the true calibration; what is left without the answer is far away."""
    draw = Random(7)  # noqa: S311 - not a secret
    found = []
    for _ in range(count):
        similarity = draw.uniform(0.1, 0.9)
        is_answered = draw.random() < TRUE.probability(similarity)
        found.append(Question(similarity=similarity, is_answered=is_answered, without_answer=-1.0))
    return found


def test_the_fit_finds_the_constants_back() -> None:
    fitted = fit(questions(20_000))
    assert fitted.intercept == pytest.approx(TRUE.intercept, abs=0.3)
    assert fitted.slope == pytest.approx(TRUE.slope, abs=0.6)


def test_at_the_fit_the_mean_probability_is_the_share_answered() -> None:
    asked = questions(500)
    fitted = fit(asked)
    samples = [(one.similarity, one.is_answered) for one in asked] + [(-1.0, False)] * len(asked)
    predicted = sum(fitted.probability(similarity) for similarity, _ in samples)
    # The constants are rounded.
    assert predicted / len(samples) == pytest.approx(sum(was for _, was in samples) / len(samples), abs=2e-3)


def test_a_question_is_counted_with_its_answer_and_without() -> None:
    hits = [("a", 0.9), ("b", 0.8), ("c", 0.7), ("d", 0.6)]
    assert Question.of(hits, {"c"}) == Question(similarity=0.9, is_answered=True, without_answer=0.9)
    assert Question.of(hits, {"a", "b"}) == Question(similarity=0.9, is_answered=True, without_answer=0.7)
    assert Question.of(hits, {"d"}) == Question(similarity=0.9, is_answered=False, without_answer=0.9)
    assert Question.of(hits, set()) == Question(similarity=0.9, is_answered=False, without_answer=None)


def test_the_error_is_the_mean_difference_of_fifths(capsys: pytest.CaptureFixture[str]) -> None:
    # A flat calibration says one half of everything. Five questions make ten samples: the six highest are answered not.
    flat = Calibration(intercept=0.0, slope=0.0)
    asked = [Question(similarity=0.1 * number, is_answered=number < 3, without_answer=0.5) for number in range(5)]
    print_calibration("set", asked, flat)
    printed = capsys.readouterr().out
    assert "predicted  0.50  0.50  0.50  0.50  0.50" in printed
    assert "observed   1.00  0.50  0.00  0.00  0.00" in printed
    assert "ECE 0.400" in printed


def test_verdicts_are_counted_by_what_became_of_the_question(capsys: pytest.CaptureFixture[str]) -> None:
    def at(probability: float) -> float:
        return math.log(probability / (1 - probability))

    unit = Calibration(intercept=0.0, slope=1.0)
    asked = [
        Question(similarity=at(0.7), is_answered=True, without_answer=at(0.3)),
        Question(similarity=at(0.1), is_answered=True, without_answer=at(0.1)),
        Question(similarity=at(0.5), is_answered=False, without_answer=at(0.5)),
        Question(similarity=at(0.05), is_answered=False, without_answer=None),
    ]
    print_verdicts("set", asked, unit)
    rows = [line.split()[-4:] for line in capsys.readouterr().out.splitlines()[-4:]]
    assert rows == [
        ["2", "0.500", "0.000", "0.500"],
        ["1", "0.000", "1.000", "0.000"],
        ["3", "0.000", "0.667", "0.333"],
        ["1", "0.000", "0.000", "1.000"],
    ]
