"""Limits that users share: of what is there, each may have a part."""

from collections import Counter
from contextvars import ContextVar

served_user: ContextVar[str] = ContextVar("served_user", default="")
"""The user for whom something is done. Empty: the server does it by itself, or nobody knows yet who asks."""

_TIMES_WHAT_IS_LEFT = 3


class Shares:
    """Some of a thing, such as places or bytes. A user takes one more while it has less than three times what is left.

    So one alone gets three quarters, and whoever comes next finds the rest; the more ask for much, the less each has.
    Source: Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998.
    """

    def __init__(self, size: int, *, one_each: bool = False) -> None:
        """Takes how much there is, and whether a user who has nothing may take more than that."""
        self._size = size
        self._one_each = one_each
        self._taken: Counter[str] = Counter()
        self.taken = 0
        """How much all users have."""

    def taken_by(self, user: str) -> int:
        """Returns how much a user has."""
        return self._taken[user]

    def has_room(self, user: str) -> bool:
        """Tells whether a user may take more."""
        own = self._taken[user]
        return own < _TIMES_WHAT_IS_LEFT * (self._size - self.taken) or (self._one_each and not own)

    def take(self, user: str, amount: int = 1) -> None:
        """Gives to a user, whether or not there is room."""
        self._taken[user] += amount
        self.taken += amount

    def give_back(self, user: str, amount: int = 1) -> None:
        """Takes from a user what it was given."""
        self.taken -= amount
        self._taken[user] -= amount
        if not self._taken[user]:
            del self._taken[user]
