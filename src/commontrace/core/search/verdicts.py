"""Verdicts on searches by text, and silence where an answer is too improbable (ADR 0060)."""

from dataclasses import replace

from commontrace.core.search.result import SearchResult
from commontrace.domain.errors import NotCalibrated
from commontrace.domain.search.query import Search, StopReason
from commontrace.domain.search.verdict import calibration_of
from commontrace.embeddings.model import Model


def require_calibration(search: Search, model: Model) -> None:
    """Raises NotCalibrated where the search needs a probability, and the model gives none."""
    if search.min_probability and calibration_of(model) is None:
        raise NotCalibrated(model)


def judge(search: Search, result: SearchResult, model: Model) -> SearchResult:
    """Returns the result with its answer probability, if it has one, and without hits where that is too low."""
    calibration = calibration_of(model)
    # What a search that continues another compares lies behind the most similar traces.
    if calibration is None or not isinstance(search.query, str) or search.resumed_at is not None:
        return result
    if result.best_similarity is None and not result.exact:
        return result
    probability = calibration.probability(result.best_similarity)
    if probability < search.min_probability:
        result = replace(result, neighbours=[], stop_reason=StopReason.MIN_PROBABILITY)
    return replace(result, answer_probability=probability)
