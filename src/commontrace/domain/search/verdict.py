"""Verdict on a search: the calibrated probability that what it found answers the question (ADR 0060)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from commontrace.embeddings.model import Model


class Verdict(Enum):
    """Class of an answer probability."""

    LIKELY = "likely"
    UNCERTAIN = "uncertain"
    UNLIKELY = "unlikely"


# Chosen on the development set in steps of 0.05 (ADR 0060): UNLIKELY as far up as it takes at most one in ten of the
# questions whose answer was found, LIKELY as far down as four in five of its questions have found theirs.
_LIKELY_FROM = 0.6
_UNLIKELY_BELOW = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Calibration of a model's cosine similarities: a logistic with an intercept and a slope (Platt scaling).

    Platt 1999, "Probabilistic outputs for support vector machines and comparisons to regularized likelihood methods",
    there of a classifier's score, here of the cosine similarity of the most similar trace.
    """

    intercept: float
    slope: float

    def probability(self, best_similarity: float | None) -> float:
        """Returns the probability, within 0..1, that one of the three most similar traces answers the question.

        `best_similarity` is that of the most similar trace, None where there is no trace: the probability is 0. It
        holds if half of all questions have an answer among the traces.
        """
        if best_similarity is None:
            return 0.0
        return 1.0 / (1.0 + math.exp(-(self.intercept + self.slope * best_similarity)))


# By model id and version: another version has other similarities. `python -m bench.calibration` fits the constants of
# the installed model on the development set (fixtures/quality) and prints its line.
_CALIBRATIONS: Mapping[tuple[str, str], Calibration] = {
    ("all-MiniLM-L6-v2", "53aa51172d14"): Calibration(intercept=-5.34, slope=10.82),
    ("all-MiniLM-L6-v2", "53aa51172d14-2"): Calibration(intercept=-5.56, slope=11.35),
}


def calibration_of(model: Model) -> Calibration | None:
    """Returns the calibration of a model, None for one whose similarities were not fitted."""
    return _CALIBRATIONS.get((model.model_id, model.model_version))


def verdict_of(probability: float) -> Verdict:
    """Returns the verdict of an answer probability."""
    if probability < _UNLIKELY_BELOW:
        return Verdict.UNLIKELY
    return Verdict.LIKELY if probability >= _LIKELY_FROM else Verdict.UNCERTAIN
