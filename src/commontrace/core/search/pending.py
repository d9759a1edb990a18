"""Pending count: the traces that a search would look at, had they their vectors (ADR 0060)."""

import asyncio
import time

from commontrace.domain.deadline import Deadline
from commontrace.domain.errors import DatabaseUnavailable, Overloaded
from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.single_flight_cache import SingleFlightCache
from commontrace.storage.database import Database

# Other servers queue traces, and workers encode them, without this one knowing.
_SECONDS = 1.0
_CAPACITY = 256
# What is found is worth more than this count.
_MOST_SECONDS = 0.25


class PendingTraces:
    """Counts of traces without a vector by filter, each held for a second, or until this server queues another trace.

    An empty queue answers for every filter.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: SingleFlightCache[str, int] = SingleFlightCache(_CAPACITY, ttl=lambda _: _SECONDS)
        self._empty_until = 0.0
        self._queued_count = 0

    async def count(self, trace_filter: ResolvedFilter, *, may_be_held: bool, deadline: Deadline) -> int | None:
        """Returns how many live traces without a vector pass the filter, at least; None where it cannot be counted now.

        The count is of this moment, unless it `may_be_held`.
        """
        if self._queued_count != self._database.queued_count:
            self._queued_count = self._database.queued_count
            self._counts.clear()
            self._empty_until = 0.0
        if (may_be_held and time.monotonic() < self._empty_until) or trace_filter.matches_nothing:
            return 0
        try:
            async with deadline.limit(), asyncio.timeout(_MOST_SECONDS):
                if may_be_held:
                    return await self._counts.load(repr(trace_filter), lambda: self._load(trace_filter))
                return await self._load(trace_filter)
        except (TimeoutError, DatabaseUnavailable, Overloaded):
            return None

    async def _load(self, trace_filter: ResolvedFilter) -> int:
        began, queued_count = time.monotonic(), self._database.queued_count
        jobs, passing = await self._database.search(
            lambda search: search.count_pending(trace_filter), trace_filter=trace_filter
        )
        # A trace that was queued meanwhile may be missing in the count.
        if not jobs and queued_count == self._database.queued_count:
            self._empty_until = began + _SECONDS
        return passing
