"""Limits what statements with a filter by metadata take of the database: how many at a time, and for how long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from commontrace.domain.errors import FilterTooSlow
from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.sharing.slot_release import slot_released
from commontrace.storage.pool_limiter import PoolLimiter

SECONDS = 1.0
"""How long one statement may take, its connection included; a caller's deadline may be earlier."""

_SHARE = 5


class FilterBudget:
    """One in five of a pool's connections, at least one, so that other calls have the rest (ADR 0041)."""

    def __init__(self, *, pool_size: int, timeout: float, seconds: float = SECONDS) -> None:
        """Takes how many seconds to wait for a turn, and how many a statement may take."""
        self._turns = PoolLimiter("filters by metadata", size=max(1, pool_size // _SHARE), timeout=timeout)
        self._seconds = seconds

    @asynccontextmanager
    async def within(self, trace_filter: ResolvedFilter | None) -> AsyncIterator[None]:
        """Bounds the block if the filter is by metadata. Raises Overloaded, FilterTooSlow."""
        if trace_filter is None or not trace_filter.trace_filter.metadata:
            yield
            return
        # The work is the database's.
        async with slot_released(), self._turns.turn():
            try:
                async with asyncio.timeout(self._seconds) as limit:
                    yield
            except TimeoutError as error:
                if not limit.expired():
                    raise
                raise FilterTooSlow(self._seconds) from error
