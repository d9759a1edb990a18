"""Lexical embedder, without a model: texts are similar if they share words, parts of words or identifiers.

Signed feature hashing (Weinberger et al. 2009, arXiv:0902.2206) of words and of character 3- and 4-grams,
with sublinear term frequency (Manning, Raghavan and Schuetze 2008, "Introduction to Information Retrieval",
6.4.1).
"""

import asyncio
import hashlib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np

from commontrace.embeddings.embedder import Embedding, Vector
from commontrace.settings import MAX_DIMENSIONS

# A name to hash and its weight.
_Feature = tuple[str, float]
_HashedFeature = tuple[int, float]

# C++, C# and F# first: ordinary word boundaries would make them C and F.
_WORD = re.compile(r"\b[CcFf](?:\+\+|#)|\w+")
# The parts of an identifier: HTTPServer2_id -> HTTP, Server, 2, id.
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# Longer "words" are encoded data: their parts say nothing, and one may be a megabyte long.
_LONGEST_WORD = 64

_WORD_WEIGHT = 1.0
_PART_WEIGHT = 0.5
_GRAM_WEIGHT = 0.2
_FUNCTION_WORD_WEIGHT = 0.1
_FUNCTION_WORDS = frozenset(
    """
    a about after an and any are as at be been but by can could did do does for from get had has have how i if
    in into is it its me my no not of on or our should so some than that the their them then there these they
    this to up use using was we were what when where which while who why will with would you your
    """.split()  # noqa: SIM905 - a list literal would fill eighty lines
)
# The first that matches is stripped.
_SUFFIXES = tuple(
    """
    ations ation ating ators ator ated ates ions ings ate ers ies ied ing ion ed er es ly e s y
    """.split()  # noqa: SIM905 - likewise
)
_SHORTEST_STEM = 3
_NO_PLURAL = ("ss", "us", "is")

# Texts so short are encoded on the event loop: 1.5 ms, 3 ms if no word repeats.
_INLINE_CHARACTERS = 1000


class LexicalEmbedder:
    """Maps texts to unit vectors of the given number of dimensions, equal on every machine up to rounding.

    A text without any word, or one whose features cancel each other out, gets the first axis (1, 0, 0, ...).
    Every word is read; a token is a word or an identifier. Raises ValueError unless 1 <= dimensions <= 2000.
    """

    def __init__(self, dimensions: int) -> None:
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise ValueError(f"dimensions must be 1 to {MAX_DIMENSIONS}, not {dimensions}")
        self._dimensions = dimensions

    @property
    def model_id(self) -> str:
        """The id of this feature scheme."""
        return "lexical-hash"

    @property
    def model_version(self) -> str:
        """The version, which changes with every change to the vectors."""
        return "1"

    @property
    def dimensions(self) -> int:
        """The length of every vector, as given."""
        return self._dimensions

    @property
    def is_lexical(self) -> bool:
        """Always true: similarity means shared words."""
        return True

    async def encode(self, texts: Sequence[str]) -> list[Embedding]:
        """Returns one embedding a text, in order. Encodes long texts in a thread; never raises EmbedderUnavailable."""
        if sum(map(len, texts)) <= _INLINE_CHARACTERS:
            return [self.embed(text) for text in texts]
        return await asyncio.to_thread(lambda: [self.embed(text) for text in texts])

    async def close(self) -> None:
        """Does nothing: there is nothing to release."""

    def embed(self, text: str) -> Embedding:
        """Returns the embedding of one text, encoded in this thread."""
        words = Counter(match.group() for match in _WORD.finditer(_composed(text)))
        features: dict[_HashedFeature, int] = {}
        for word, count in words.items():
            for feature in _hashed_features(word) if len(word) <= _LONGEST_WORD else map(_hashed, _features(word)):
                features[feature] = features.get(feature, 0) + count
        tokens = words.total()
        return Embedding(vector=self._vector(features), tokens_read=tokens, tokens_total=tokens)

    def _vector(self, features: Mapping[_HashedFeature, int]) -> Vector:
        sums = [0.0] * self._dimensions
        for (number, weight), count in features.items():
            value = weight * (1.0 + math.log(count))
            sums[(number >> 1) % self._dimensions] += value if number & 1 else -value
        vector = np.array(sums)
        norm = float(np.linalg.norm(vector))
        if norm == 0.0:
            vector[0] = norm = 1.0
        unit: Vector = (vector / norm).astype(np.float32)
        return unit


def _composed(text: str) -> str:
    """Returns the text in NFKC, with every run of white space as one space."""
    # Word by word, very long ones unchanged: NFKC takes quadratic time for a run of combining marks (ADR 0041).
    return " ".join(
        word if word.isascii() or len(word) > _LONGEST_WORD else unicodedata.normalize("NFKC", word)
        for word in text.split()
    )


# Hashing takes most of the time, and words recur.
@lru_cache(maxsize=8_192)
def _hashed_features(word: str) -> tuple[_HashedFeature, ...]:
    return tuple(map(_hashed, _features(word)))


def _hashed(feature: _Feature) -> _HashedFeature:
    name, weight = feature
    digest = hashlib.blake2b(name.encode("utf-8", errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little"), weight


def _features(word: str) -> Iterator[_Feature]:
    parts = _parts(word)
    # fastapi, FastAPI and fast_api share the whole word; FastAPI and "fast" share a part.
    whole = "".join(parts)
    yield f"word {stem(whole)}", _FUNCTION_WORD_WEIGHT if whole in _FUNCTION_WORDS else _WORD_WEIGHT
    if len(parts) > 1:
        for part in dict.fromkeys(parts):
            yield f"word {stem(part)}", _FUNCTION_WORD_WEIGHT if part in _FUNCTION_WORDS else _PART_WEIGHT
    if whole not in _FUNCTION_WORDS and len(whole) <= _LONGEST_WORD:
        marked = f"<{whole}>"
        for size in (3, 4):
            for start in range(len(marked) - size + 1):
                yield f"gram {marked[start : start + size]}", _GRAM_WEIGHT


def _parts(word: str) -> list[str]:
    if len(word) > _LONGEST_WORD:
        return [word.casefold()]
    pieces = [piece for piece in word.split("_") if piece] or [word]
    # Letter case marks parts in ASCII identifiers; elsewhere it is spelling.
    return [
        part.casefold()
        for piece in pieces
        for part in (_PART.findall(piece) if piece.isascii() and piece.isalnum() else [piece])
    ]


def stem(word: str) -> str:
    """Strips one common English suffix from a lower-case word: caches, cached, caching and cache -> cach."""
    if word.endswith(_NO_PLURAL) or not word.isascii() or not word.isalpha():
        return word
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _SHORTEST_STEM:
            left = word[: -len(suffix)]
            # running -> run, but passing -> pass, calling -> call.
            return left[:-1] if left[-1] == left[-2] and left[-1] not in "lsz" else left
    return word
