"""Which events can be told: those that no earlier one can still join.

Numbers are drawn before their transactions commit, and commit in any order. An event is settled when every lower number
belongs to an event that is visible, or to none for ever: its transaction was rolled back.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """What one snapshot of the database shows of the events behind a number."""

    count: int
    last: int
    """The highest number; where there is none, the one that was asked behind."""
    oldest_running: int
    """Every transaction with a lower id has ended, and is visible if it committed."""
    drawn: int | None
    """A transaction id drawn after the snapshot was taken: whoever had drawn a number until then has a lower one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pending:
    last: int
    horizon: int


class CommitOrder:
    """How far events are settled. None at first: nothing is known of what was under way before the first look."""

    def __init__(self) -> None:
        """Starts without having looked."""
        self.settled: int | None = None
        self._pending: _Pending | None = None

    @property
    def is_pending(self) -> bool:
        """Whether numbers are missing whose transactions may still run."""
        return self._pending is not None

    def take(self, look: Snapshot) -> bool:
        """Learns from a look behind `settled`; returns whether another one tells more at once.

        Looks need a `drawn` id while nothing is pending, if they show a gap or are the first.
        """
        if self.settled is not None and look.last - self.settled == look.count:
            self.settled, self._pending = look.last, None
            return False
        if self._pending is None:
            if look.drawn is None:
                raise ValueError("a look that shows a gap must have drawn an id")
            self._pending = _Pending(last=look.last, horizon=look.drawn)
            return False
        if look.oldest_running < self._pending.horizon:
            return False
        # Whoever could have filled a gap below `last` has ended: what is missing stays missing.
        self.settled, self._pending = self._pending.last, None
        return look.last > self.settled
