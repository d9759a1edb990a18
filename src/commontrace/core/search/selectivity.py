"""Remembers how wide filters are: which share of the traces passes."""

import time
from collections import OrderedDict

from commontrace.domain.traces.trace_filter import ResolvedFilter

_SECONDS = 60.0
_CAPACITY = 1024


class FilterSelectivityCache:
    """The widths of the `capacity` filters that were measured last, each for a minute: traces come and go."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._capacity = capacity
        self._widths: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def get(self, trace_filter: ResolvedFilter) -> float | None:
        """Returns the width, within 0..1, 0.0 for few; None for a filter that is not known."""
        width, until = self._widths.get(repr(trace_filter), (None, 0.0))
        return width if time.monotonic() < until else None

    def remember(self, trace_filter: ResolvedFilter, width: float) -> None:
        """Remembers the width."""
        key = repr(trace_filter)
        self._widths[key] = (width, time.monotonic() + _SECONDS)
        self._widths.move_to_end(key)
        if len(self._widths) > self._capacity:
            self._widths.popitem(last=False)
