"""Canonical names of tags: spellings of one tag get one name (ADR 0010)."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from commontrace.domain import limits
from commontrace.domain.errors import InvalidTag
from commontrace.domain.tags.starter_aliases import STARTER_ALIASES
from commontrace.domain.text import first_forbidden, is_blank

_SPACES_AND_SLASHES = re.compile(r"[\s/]+")
# The same before NFKC, which turns the full-width slash into `/`.
_SEPARATORS = re.compile(r"[\s/\uff0f]+")
# NFKC composes at most this many characters into one: U+1F82 is a letter with three marks.
_COMPOSED = 4
_STARTER_SPELLINGS = {
    target: [spelling for spelling, name in STARTER_ALIASES.items() if name == target]
    for target in STARTER_ALIASES.values()
}


class CanonicalName(NamedTuple):
    """A canonical name, and the starter alias that led to it, '' if none did."""

    name: str
    alias: str


def canonical(tag: str) -> CanonicalName:
    """Returns the canonical name. Raises InvalidTag.

    NFKC, trimmed, lower case, starter aliases replaced, runs of spaces and slashes to one `-`, starter aliases again.
    What remains must be Unicode letters, marks and digits, `-`, `.` and `_`, with a letter or digit among them; nothing
    is dropped silently.
    """
    # Cached: the same few tags come again and again. Spellings longer than any tag are not worth a place.
    return _canonical_cached(tag) if len(tag) <= limits.TAG_CHARACTERS else _canonical(tag)


def _canonical(tag: str) -> CanonicalName:
    # First, because Python counts some control characters as spaces.
    forbidden = first_forbidden(tag)
    if forbidden is not None:
        raise _character_refused(tag, forbidden[1])
    # NFKC takes quadratic time for a long run of combining marks: minutes for a megabyte (ADR 0041).
    if len(_SEPARATORS.sub("-", tag)) > _COMPOSED * limits.TAG_CHARACTERS:
        raise _too_long(tag)
    spelling = folded(tag)
    if spelling not in STARTER_ALIASES:
        spelling = _SPACES_AND_SLASHES.sub("-", spelling)
    if spelling in STARTER_ALIASES:
        return CanonicalName(STARTER_ALIASES[spelling], spelling)
    for character in spelling:
        if not _is_allowed(character):
            raise _character_refused(tag, character)
    # Fillers such as U+3164 are letters by category, and invisible.
    if not any(unicodedata.category(character)[0] in "LN" and not is_blank(character) for character in spelling):
        raise InvalidTag(tag, "has no letter or digit")
    if len(spelling) > limits.TAG_CHARACTERS:
        raise _too_long(tag)
    return CanonicalName(spelling, "")


_canonical_cached = lru_cache(maxsize=4096)(_canonical)


def normalise(tag: str) -> str:
    """Returns the canonical name alone. Raises InvalidTag."""
    return canonical(tag).name


def normalise_all(tags: Iterable[str]) -> list[str]:
    """Returns the canonical names in alphabetical order, each once. Raises InvalidTag."""
    return sorted({normalise(tag) for tag in tags})


def folded(text: str) -> str:
    """Returns the text in NFKC, trimmed, in lower case. Quadratic: only for text of limited length."""
    lower = unicodedata.normalize("NFKC", text).strip().lower()
    # Lower-casing can decompose a letter (U+0130 gives two code points): compose again.
    return unicodedata.normalize("NFKC", lower)


def starter_spellings(names: Iterable[str]) -> set[str]:
    """Returns the starter aliases of the names."""
    return {spelling for name in names for spelling in _STARTER_SPELLINGS.get(name, ())}


def _character_refused(tag: str, character: str) -> InvalidTag:
    return InvalidTag(tag, f"has the character U+{ord(character):04X}, which no tag may have")


def _too_long(tag: str) -> InvalidTag:
    return InvalidTag(tag, f"is longer than {limits.TAG_CHARACTERS} characters")


def _is_allowed(character: str) -> bool:
    category = unicodedata.category(character)
    return character in "-._" or category[0] in "LM" or category == "Nd"
