"""Parsing and validation of an OpenAI-compatible endpoint's answers: bounded, checked value by value (ADR 0037)."""

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from commontrace.plurals import counted
from commontrace.settings import MAX_DIMENSIONS

MAX_TOKENS = (1 << 31) - 1
"""The largest count that the contract can carry; a larger one is ignored."""

# Seconds. A caller that waits for a day would not notice that the endpoint is back after a minute.
_LONGEST_WAIT_SECONDS = 300.0

# A double in full has 24 characters; pretty-printed, a line break and up to 39 spaces and a comma come on top. Base64
# has 5.3 a component.
_BYTES_PER_COMPONENT = 64
# The names around a vector, its index, and what servers add.
_BYTES_PER_TEXT = 1024
_BYTES_PER_ANSWER = 64 * 1024
# Of a model that is not known yet. Four times what can be stored, so that the error names a vector's length.
_MOST_DIMENSIONS = 4 * MAX_DIMENSIONS

_NOT_EMBEDDINGS = "its answer is not the JSON of embeddings"


class UnusableAnswer(Exception):
    """Violation of the protocol by an answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Unit vectors of the texts, in their order: shape (texts, dimensions), float32.

    `tokens` is the endpoint's count for all texts together, 0 where it does not count.
    """

    vectors: NDArray[np.float32]
    tokens: int


def longest_answer(*, texts: int, dimensions: int | None) -> int:
    """Returns the bound of an answer in bytes, decompressed. `dimensions` is None for a model not known yet."""
    return texts * ((dimensions or _MOST_DIMENSIONS) * _BYTES_PER_COMPONENT + _BYTES_PER_TEXT) + _BYTES_PER_ANSWER


def read_answer(content: bytes, *, texts: int, dimensions: int | None = None) -> Answer:
    """Parses the answer to a request of `texts` texts. Raises UnusableAnswer.

    `dimensions` is the expected length, None for a model not known yet; the vectors found may have another.
    """
    answer = _parsed(content, most_values=texts * (2 * (dimensions or _MOST_DIMENSIONS) + 64) + 1024)
    items = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise UnusableAnswer(_NOT_EMBEDDINGS)
    if len(items) != texts:
        raise UnusableAnswer(f"it answers {counted(texts, 'texts')} with {counted(len(items), 'vectors')}")
    indices = [item.get("index", position) for position, item in enumerate(items)]
    # True and 1.0 would be 1 to Python.
    if any(type(index) is not int for index in indices) or sorted(indices) != list(range(texts)):
        raise UnusableAnswer("it numbers its vectors otherwise than the texts")
    by_index = {index: item.get("embedding") for index, item in zip(indices, items, strict=True)}
    rows = [_components(by_index[index]) for index in range(texts)]
    if len({len(row) for row in rows}) > 1:
        raise UnusableAnswer("the vectors in its answer differ in length")
    return Answer(vectors=_normalized(np.array(rows, np.float64)), tokens=_token_count(answer))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Returns the wait that `Retry-After` asks for, as a number or a date: seconds, at most 300. None without one."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError, OverflowError):
            return None
    return min(seconds, _LONGEST_WAIT_SECONDS) if seconds > 0 and math.isfinite(seconds) else None


def _parsed(content: bytes, *, most_values: int) -> Any:
    if not content.strip():
        raise UnusableAnswer("its answer is empty")
    # Each value but the first follows one of these. Three bytes of JSON can take sixty bytes of memory once parsed.
    if sum(map(content.count, (b",", b"[", b"{"))) > most_values:
        raise UnusableAnswer(f"its answer has more than {most_values} values, {_NOT_EMBEDDINGS}")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnusableAnswer(_NOT_EMBEDDINGS) from error


def _components(embedding: Any) -> NDArray[np.float64]:
    """Returns a vector in double precision, infinite or not a number where it overflows single or double."""
    try:
        # base64 is asked for; not every server knows it.
        if isinstance(embedding, str):
            packed = np.frombuffer(base64.b64decode(embedding, validate=True), "<f4")
            with np.errstate(invalid="ignore"):
                return packed.astype(np.float64)
        # NumPy would read strings, null and truth values as numbers.
        if isinstance(embedding, list) and set(map(type, embedding)) <= {int, float}:
            return np.array(embedding, np.float64)
    except (ValueError, OverflowError) as error:
        raise UnusableAnswer(_NOT_EMBEDDINGS) from error
    raise UnusableAnswer(_NOT_EMBEDDINGS)


def _normalized(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    """Returns vectors of unit length. Raises UnusableAnswer for one that is zero or not finite."""
    largest = np.abs(vectors).max(axis=1, keepdims=True) if vectors.size else np.zeros(1)
    if not (np.isfinite(largest).all() and largest.all()):
        raise UnusableAnswer("a vector in its answer has no direction, or numbers that are not finite")
    # By the largest component first: squares may overflow or vanish even in double precision.
    scaled: NDArray[np.float64] = vectors / largest
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
    return scaled.astype(np.float32)


def _token_count(answer: Mapping[str, Any]) -> int:
    usage = answer.get("usage")
    tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return tokens if type(tokens) is int and 0 <= tokens <= MAX_TOKENS else 0
