"""Watermark of the event log: the sequence number up to which no earlier event can still appear (ADR 0019).

Sequence numbers are drawn before their transactions commit, and transactions commit in any order. The watermark passes
a number when every lower one belongs to a visible event, or to none for ever: its transaction was rolled back.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """Snapshot of the event log after a sequence number, with bounds of the transactions that may still add to it."""

    count: int
    last: int
    """The highest number; without events, the number that was asked about."""
    oldest_running: int
    """Every transaction with a lower id has ended, and is visible if it committed."""
    drawn: int | None
    """A transaction id drawn after the snapshot: transactions that had drawn a number by then have lower ids."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Gap:
    """Missing numbers up to `last`. Only transactions with ids below the horizon can still fill them."""

    last: int
    horizon: int


class CommitOrder:
    """Computes the watermark from snapshots. It is None at first, while transactions from before may still run."""

    def __init__(self) -> None:
        self.watermark: int | None = None
        self._gap: _Gap | None = None

    @property
    def has_gap(self) -> bool:
        """True if numbers are missing whose transactions may still run."""
        return self._gap is not None

    def apply(self, snapshot: Snapshot) -> bool:
        """Applies a snapshot of the events after the watermark; returns whether another one would move it at once.

        Without a known gap, the first snapshot and every one that shows a gap need a `drawn` id: raises ValueError.
        """
        if self.watermark is not None and snapshot.last - self.watermark == snapshot.count:
            self.watermark, self._gap = snapshot.last, None
            return False
        if self._gap is None:
            if snapshot.drawn is None:
                raise ValueError("a snapshot that shows a gap must have drawn an id")
            self._gap = _Gap(last=snapshot.last, horizon=snapshot.drawn)
            return False
        if snapshot.oldest_running < self._gap.horizon:
            return False
        # All transactions that could have filled the gap have ended: what is missing stays missing.
        self.watermark, self._gap = self._gap.last, None
        return snapshot.last > self.watermark
