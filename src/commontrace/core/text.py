"""Which characters a text may hold."""

import re

# NUL and the other C0/C1 controls but TAB, LF and CR; bidirectional controls; tag characters. They hide or reorder what
# a reader sees, and NUL cannot be stored at all.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")


def first_forbidden(text: str) -> tuple[int, str] | None:
    """Returns position and character of the first one that is never stored, or None."""
    match = _FORBIDDEN.search(text)
    return (match.start(), match.group()) if match else None


def without_forbidden(text: str) -> str:
    """Returns the text as it reads without them: pasted terminal output makes a fine query."""
    return _FORBIDDEN.sub("", text)


def is_blank(text: str) -> bool:
    """Tells whether the text shows nothing."""
    return not text or text.isspace()
