"""Dynamic thresholds: the share of a resource that each user may hold shrinks as less of it is left (ADR 0042).

Source: Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998.
"""

from contextvars import ContextVar

served_user: ContextVar[str] = ContextVar("served_user", default="")
"""The user on whose behalf work is done. Empty: the server's own work, or a caller not authenticated yet."""

# The threshold's alpha: a user alone gets 3 / (1 + 3) of everything.
_TIMES_WHAT_IS_LEFT = 3


class Shares:
    """A resource of `size` units, such as slots or bytes, of which each user may hold a share.

    A user may take more while it holds less than three times what is left. So a user alone gets three quarters, and the
    next one finds the rest; the more users ask for much, the less each gets. With `one_each`, a user that holds nothing
    may take even when nothing is left.
    """

    def __init__(self, size: int, *, one_each: bool = False) -> None:
        self._size = size
        self._one_each = one_each
        self._taken: dict[str, int] = {}
        self.taken = 0
        """Units held by all users together."""

    def taken_by(self, user: str) -> int:
        """Returns the units that a user holds."""
        return self._taken.get(user, 0)

    def has_room(self, user: str) -> bool:
        """Tells whether a user may take more."""
        own = self._taken.get(user, 0)
        return own < _TIMES_WHAT_IS_LEFT * (self._size - self.taken) or (self._one_each and not own)

    def take(self, user: str, amount: int = 1) -> None:
        """Gives units to a user, whether or not there is room."""
        self._taken[user] = self._taken.get(user, 0) + amount
        self.taken += amount

    def give_back(self, user: str, amount: int = 1) -> None:
        """Takes units back from a user."""
        self.taken -= amount
        own = self._taken.get(user, 0) - amount
        if own:
            self._taken[user] = own
        else:
            self._taken.pop(user, None)
