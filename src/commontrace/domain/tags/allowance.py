"""Allowance of new tag names: the rest of a user's daily quota."""

from collections.abc import Iterable

from commontrace.domain.errors import QuotaExceeded


class Allowance:
    """New tag names that a user may still create, as of one query; concurrent writes may use them meanwhile.

    `refusal` is the error beyond that; `known` are names that exist, which cost nothing.
    """

    def __init__(self, left: int, refusal: QuotaExceeded, known: Iterable[str]) -> None:
        self._left = left
        self._refusal = refusal
        self._known = set(known)

    def take(self, names: Iterable[str]) -> QuotaExceeded | None:
        """Takes the new ones of the names, all or none; returns the error if none."""
        new = set(names) - self._known
        # A limit that was lowered leaves less than nothing.
        if new and len(new) > self._left:
            return self._refusal
        self._left -= len(new)
        self._known |= new
        return None
