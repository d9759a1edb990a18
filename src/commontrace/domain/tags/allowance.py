"""How many new names of tags a user may still bring."""

from collections.abc import Iterable

from commontrace.domain.errors import QuotaExceeded


class Allowance:
    """What a user may still bring, as of a question; others may use it meanwhile."""

    def __init__(self, left: int, refusal: QuotaExceeded, known: Iterable[str]) -> None:
        """Takes how many names, what to say beyond them, and which names exist."""
        self._left = left
        self._refusal = refusal
        self._known = set(known)

    def take(self, names: Iterable[str]) -> QuotaExceeded | None:
        """Takes as many as are new of the names, all or none; returns why none."""
        new = set(names) - self._known
        # A limit that was lowered leaves less than nothing.
        if new and len(new) > self._left:
            return self._refusal
        self._left -= len(new)
        self._known |= new
        return None
