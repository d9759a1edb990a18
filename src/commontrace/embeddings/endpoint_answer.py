"""What an OpenAI-compatible endpoint answers, checked before anything is made of it."""

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

MAX_TOKENS = (1 << 31) - 1
"""The largest count that the contract can carry; an endpoint that claims more does not count."""

_LONGEST_WAIT = 86_400.0


class UnusableAnswer(Exception):
    """The answer is not what the protocol says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One unit vector a text, in the order of the texts: shape (texts, dimensions), float32.

    `tokens` is what the endpoint counted in all texts together, 0 where it does not tell.
    """

    vectors: NDArray[np.float32]
    tokens: int


def read_answer(content: bytes, *, texts: int) -> Answer:
    """Reads the answer to a request of so many texts. Raises UnusableAnswer."""
    try:
        answer = json.loads(content)
        items = answer["data"]
        by_index = {item.get("index", place): item["embedding"] for place, item in enumerate(items)}
        if len(items) != texts or by_index.keys() != set(range(texts)):
            raise UnusableAnswer(f"it answers {texts} texts with {len(items)} vectors, or numbers them otherwise")
        rows = [_components(by_index[index]) for index in range(texts)]
        # In double precision: the square of a component may not fit in single.
        vectors = np.array(rows, np.float64)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UnusableAnswer("its answer is not the JSON of embeddings") from error
    norms = np.linalg.norm(vectors, axis=1, keepdims=True) if vectors.ndim == 2 and vectors.size else np.zeros(1)
    if not (np.isfinite(norms).all() and norms.all()):
        raise UnusableAnswer("a vector in its answer has no direction, or numbers that are not finite")
    return Answer(vectors=(vectors / norms).astype(np.float32), tokens=_tokens(answer))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Returns the seconds that the answer asks to wait: a number, or until a date. None if it does not say."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError, OverflowError):
            return None
    return min(seconds, _LONGEST_WAIT) if seconds > 0 and math.isfinite(seconds) else None


def _components(embedding: Any) -> NDArray[np.float64]:
    # Asked for base64, which is a quarter of the size; not every server knows it.
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4").astype(np.float64)
    return np.array(embedding, np.float64)


def _tokens(answer: Mapping[str, Any]) -> int:
    usage = answer.get("usage")
    tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return tokens if type(tokens) is int and 0 <= tokens <= MAX_TOKENS else 0
