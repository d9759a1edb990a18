"""Concurrency limit and time limit of statements with a metadata filter, whose cost has no index (ADR 0041)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from commontrace.domain.errors import FilterTooSlow
from commontrace.fair_sharing.slot_release import slot_released
from commontrace.storage.pool_limiter import PoolLimiter

SECONDS = 1.0
"""Time limit of one statement, its connection included; a caller's deadline may be earlier."""

_SHARE = 5


class FilterBudget:
    """Budget of one in five of a pool's connections, at least one, so that other calls have the rest.

    `timeout` is the longest wait for one of them, and `seconds` the time limit of a statement, both in seconds.
    """

    def __init__(self, *, pool_size: int, timeout: float, seconds: float = SECONDS) -> None:
        self._limiter = PoolLimiter("filters by metadata", size=max(1, pool_size // _SHARE), timeout=timeout)
        self._seconds = seconds

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """Bounds the block. Raises Overloaded, FilterTooSlow."""
        # The call gives back its shares of the server meanwhile: the database does the work.
        async with slot_released(), self._limiter.slot():
            try:
                async with asyncio.timeout(self._seconds) as limit:
                    yield
            except TimeoutError as error:
                if not limit.expired():
                    raise
                raise FilterTooSlow(self._seconds) from error
