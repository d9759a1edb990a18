"""Batched lookups (a data loader): keys that are asked for during one query share the next one.

Not a SingleFlightCache: it keeps no answer, and joining the query in progress would answer with an older state.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key")
Row = TypeVar("Row")


class BatchedLookup(Generic[Key, Row]):
    """Looks keys up, one query at a time, with `find_many`, which leaves out keys without a row.

    Belongs to one event loop.
    """

    def __init__(self, find_many: Callable[[Collection[Key]], Awaitable[Mapping[Key, Row]]]) -> None:
        self._find_many = find_many
        self._wanted: dict[Key, asyncio.Future[Row | None]] = {}
        self._running: asyncio.Task[None] | None = None

    async def get(self, key: Key) -> Row | None:
        """Returns the row of a key, None where there is none. Raises what the query raises."""
        wanted = self._wanted.get(key)
        if wanted is None:
            wanted = self._wanted[key] = asyncio.get_running_loop().create_future()
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        # A caller that is cancelled does not cancel the others.
        return await asyncio.shield(wanted)

    async def _run(self) -> None:
        try:
            while self._wanted:
                wanted, self._wanted = self._wanted, {}
                try:
                    rows = await self._find_many(list(wanted))
                except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
                    for future in wanted.values():
                        future.set_exception(error)
                        # Retrieved, so that asyncio reports no failure that nobody waited for.
                        future.exception()
                else:
                    for key, future in wanted.items():
                        future.set_result(rows.get(key))
        finally:
            self._running = None
