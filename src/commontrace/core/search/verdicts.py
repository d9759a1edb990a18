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


def with_probability(search: Search, nearest: SearchResult, model: Model) -> SearchResult:
    """Returns the most similar traces with their answer probability, if it is known."""
    calibration = calibration_of(model)
    # What a search that continues another compares lies behind the most similar traces.
    if calibration is None or not isinstance(search.query, str) or search.resumed_at is not None:
        return nearest
    if nearest.best_similarity is None and not nearest.exact:
        return nearest
    return replace(nearest, answer_probability=calibration.probability(nearest.best_similarity))


def is_improbable(search: Search, nearest: SearchResult) -> bool:
    """Tells whether the answer probability is known, and below the least that the search asks for."""
    return nearest.answer_probability is not None and nearest.answer_probability < search.min_probability


def silenced(nearest: SearchResult) -> SearchResult:
    """Returns the result without its hits, ended for their improbability."""
    return replace(nearest, neighbours=[], stop_reason=StopReason.MIN_PROBABILITY)
