"""Selectivity of filters: the share of traces that pass one, as last measured."""

from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.single_flight_cache import SingleFlightCache

# Traces come and go.
_SECONDS = 60.0
_CAPACITY = 1024


class FilterSelectivityCache:
    """Selectivities of the filters used last, each held for a minute. Searches measure them in passing."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._selectivities: SingleFlightCache[str, float] = SingleFlightCache(capacity, ttl=lambda _: _SECONDS)

    def get(self, trace_filter: ResolvedFilter) -> float | None:
        """Returns the selectivity, within 0..1, 0.0 for few traces; None where it was not measured lately."""
        return self._selectivities.get(repr(trace_filter))

    def remember(self, trace_filter: ResolvedFilter, selectivity: float) -> None:
        """Stores a measured selectivity."""
        self._selectivities.put(repr(trace_filter), selectivity)
