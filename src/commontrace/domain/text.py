"""Characters of texts: forbidden and invisible ones."""

import re

# C0 and C1 controls except TAB, LF and CR; bidirectional controls; tag characters. They hide or reorder the visible
# text, and Postgres cannot store NUL.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")

# A visible character. Others are spaces, controls, what Unicode calls default-ignorable
# (DerivedCoreProperties.txt: joiners, fillers, variation selectors), and blanks by another name: U+2800 is Braille
# without a dot, U+1D159 a note without a head, U+FFF9 to U+FFFB stand around annotations, U+13430 to U+1343F around
# hieroglyphs; U+FDD0 and others are no characters.
_VISIBLE = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff\ufdd0-\ufdef\ufffe\uffff\U00013430-\U0001343f\U00013441\U00013442\U00016fe4\U0001da7f]"
)


def first_forbidden(text: str) -> tuple[int, str] | None:
    """Returns position and character of the first forbidden character, None if there is none."""
    match = _FORBIDDEN.search(text)
    return (match.start(), match.group()) if match else None


def without_forbidden(text: str) -> str:
    """Returns the text without forbidden characters, for queries: pasted terminal output has some."""
    return _FORBIDDEN.sub("", text)


def is_blank(text: str) -> bool:
    """Tells whether the text has no visible character. A text that must not be empty must not be blank either."""
    return _VISIBLE.search(text) is None
