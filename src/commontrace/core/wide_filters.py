"""Remembers which filters are passed by so many traces that searches do better by the vector index."""

import time
from collections import OrderedDict

from commontrace.core.trace_filter import ResolvedFilter

_SECONDS = 60.0
_CAPACITY = 1024


class WideFilters:
    """The `capacity` filters that were measured last, each for a minute: traces come and go."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._capacity = capacity
        self._shares: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def share(self, considered: ResolvedFilter) -> float | None:
        """Returns which share of all traces passes, within 0..1; None for one that is not known to be wide."""
        share, until = self._shares.get(repr(considered), (None, 0.0))
        return share if time.monotonic() < until else None

    def remember(self, considered: ResolvedFilter, share: float) -> None:
        """Remembers the share."""
        key = repr(considered)
        self._shares[key] = (share, time.monotonic() + _SECONDS)
        self._shares.move_to_end(key)
        if len(self._shares) > self._capacity:
            self._shares.popitem(last=False)
