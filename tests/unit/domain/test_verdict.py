"""Verdicts, against values computed by hand."""

import pytest

from commontrace.domain.search.verdict import Calibration, Verdict, calibration_of, verdict_of
from commontrace.embeddings.model import RecordedModel

CALIBRATION = Calibration(intercept=-1.0, slope=4.0)


@pytest.mark.parametrize(
    ("similarity", "probability"), [(0.25, 0.5), (1.0, 0.9525741), (-1.0, 0.0066929), (0.0, 0.2689414), (None, 0.0)]
)
def test_the_probability_is_a_logistic_of_the_similarity(similarity: float | None, probability: float) -> None:
    assert CALIBRATION.probability(similarity) == pytest.approx(probability, abs=1e-6)


@pytest.mark.parametrize(
    ("probability", "verdict"),
    [
        (0.0, Verdict.UNLIKELY),
        (0.1999, Verdict.UNLIKELY),
        (0.2, Verdict.UNCERTAIN),
        (0.5999, Verdict.UNCERTAIN),
        (0.6, Verdict.LIKELY),
        (1.0, Verdict.LIKELY),
    ],
)
def test_the_verdict_goes_by_two_thresholds(probability: float, verdict: Verdict) -> None:
    assert verdict_of(probability) is verdict


@pytest.mark.parametrize(
    ("model_id", "version", "is_calibrated"),
    [
        ("all-MiniLM-L6-v2", "53aa51172d14", True),
        ("all-MiniLM-L6-v2", "53aa51172d14-2", True),
        ("all-MiniLM-L6-v2", "another", False),
        ("mine", "53aa51172d14", False),
    ],
)
def test_only_what_was_fitted_is_calibrated(model_id: str, version: str, *, is_calibrated: bool) -> None:
    model = RecordedModel(model_id=model_id, model_version=version, dimensions=384, is_lexical=False)
    calibration = calibration_of(model)
    assert (calibration is not None) is is_calibrated
    assert calibration is None or calibration.slope > 0
