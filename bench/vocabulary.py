"""Texts and questions whose words are as rare and as common as those of real ones (Zipf's law)."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bench.search_cases import read, read_search_cases

_MADE_UP = 60_000
_TITLE, _CONTEXT, _SOLUTION = 8, 70, 140
_QUERY_CHARACTERS = 8_000
_WORD = re.compile(r"[^\W\d_]+")


@cache
def words() -> list[str]:
    """Returns the words of the fixtures, the commonest first, and made-up ones behind them."""
    texts = (trace[part] for name in ("sample_traces", "distractors") for trace in read(name) for part in _PARTS)
    counted = Counter(word for text in texts for word in _WORD.findall(text.lower()))
    return [*(word for word, _ in counted.most_common()), *(f"{_syllables(number)}" for number in range(_MADE_UP))]


_PARTS = ("title", "context", "solution")
_SYLLABLES = [consonant + vowel for consonant in "bcdfghklmnprstvz" for vowel in "aeiou"]


def _syllables(number: int) -> str:
    # Three syllables a word, and a last one that no English ending is taken from.
    base = len(_SYLLABLES)
    digits = (number // base**2 % base, number // base % base, number % base)
    return "".join(_SYLLABLES[digit] for digit in digits) + "x"


def traces(count: int, *, first: int = 0) -> Iterator[tuple[str, str, str]]:
    """Yields titles, contexts and solutions; trace `n` names an error code of its own."""
    known = np.array(words(), dtype=object)
    chances = _chances(len(known))
    length = _TITLE + _CONTEXT + _SOLUTION
    for number in range(first, first + count):
        chosen = known[np.searchsorted(chances, np.random.default_rng(number).random(length))]
        title, context, solution = np.split(chosen, [_TITLE, _TITLE + _CONTEXT])
        yield " ".join(title), f"E{number:07} {' '.join(context)}", " ".join(solution)


def realistic(count: int) -> list[str]:
    """Returns the labelled questions, each with an error code that one trace has."""
    cases = read_search_cases()
    return [f"{cases[number % len(cases)].query} E{17 * number:07}" for number in range(count)]


def commonest(count: int) -> str:
    """Returns the commonest words of all, as many as asked for."""
    return " ".join([word for word in words() if len(word) > 3][:count])


def longest() -> str:
    """Returns different common words that fill a query."""
    return commonest(_QUERY_CHARACTERS)[:_QUERY_CHARACTERS]


@cache
def _chances(count: int) -> NDArray[np.float64]:
    # The n-th commonest has the chance 1 / (n + 2.7): B. Mandelbrot, 1953.
    weights = 1.0 / (np.arange(1, count + 1) + 2.7)
    return np.cumsum(weights / weights.sum())
