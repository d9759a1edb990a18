"""Single flight and a bounded cache on top of it: for each key, one load at a time serves all who ask for it.

Both belong to one event loop.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

Load = Callable[[], Coroutine[Any, Any, Value]]


class _Flight(Generic[Value]):
    """A load in progress. `waiting` counts those who wait for it."""

    __slots__ = ("task", "waiting")

    def __init__(self, load: Load[Value]) -> None:
        self.task = asyncio.create_task(load())
        self.waiting = 0


class SingleFlight(Generic[Key, Value]):
    """Deduplicates concurrent loads: callers that ask for a key while it is being loaded join that load.

    A caller that is cancelled leaves the others undisturbed. When the last one has left, the load goes on for those to
    come, unless `cancels_abandoned`.
    """

    def __init__(self, *, cancels_abandoned: bool = False) -> None:
        self._cancels_abandoned = cancels_abandoned
        self._flights: dict[Key, _Flight[Value]] = {}

    @property
    def keys(self) -> list[Key]:
        """The keys that are being loaded."""
        return [key for key, flight in self._flights.items() if not flight.task.done()]

    def is_loading(self, key: Key) -> bool:
        """Tells whether a caller would join a load."""
        flight = self._flights.get(key)
        # A load that has just failed is still here, and its failure is not for those who ask now.
        return flight is not None and not flight.task.done()

    def is_current(self, key: Key) -> bool:
        """Tells whether the running task is the load that callers join, neither abandoned nor detached."""
        flight = self._flights.get(key)
        return flight is not None and flight.task is asyncio.current_task()

    async def run(self, key: Key, load: Load[Value]) -> Value:
        """Returns what the load in progress returns, or that of `load`, begun now. Raises what it raises, to all."""
        if not self.is_loading(key):
            begun = self._flights[key] = _Flight(load)
            begun.task.add_done_callback(lambda _task: self._land(key, begun))
        flight = self._flights[key]
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if self._cancels_abandoned and not flight.waiting:
                flight.task.cancel()
                self._remove(key, flight)

    def detach_all(self) -> None:
        """Lets no later caller join the loads in progress, which go on for those who wait."""
        self._flights.clear()

    def _land(self, key: Key, flight: _Flight[Value]) -> None:
        self._remove(key, flight)
        if not flight.task.cancelled():
            # Retrieved, so that asyncio reports no failure that nobody waited for.
            flight.task.exception()

    def _remove(self, key: Key, flight: _Flight[Value]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


class SingleFlightCache(Generic[Key, Value]):
    """Bounded cache: the least recently used value goes first, and one load at a time serves all who miss a key.

    `ttl` returns for how many seconds a value holds, counted from before its load began: it was true then, however long
    the load took. Without it, values hold until they are evicted. Failures are not cached. None is no value.
    Raises ValueError if capacity < 1.
    """

    def __init__(
        self, capacity: int, *, ttl: Callable[[Value], float] | None = None, cancels_abandoned: bool = False
    ) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        self._capacity = capacity
        self._ttl = ttl
        # With the times at which they expire, by the monotonic clock.
        self._values: OrderedDict[Key, tuple[Value, float]] = OrderedDict()
        self._loads: SingleFlight[Key, Value] = SingleFlight(cancels_abandoned=cancels_abandoned)

    def __len__(self) -> int:
        return len(self._values)

    def holds(self, key: Key) -> bool:
        """Tells whether there is a value, expired or not."""
        return key in self._values

    @property
    def loading(self) -> list[Key]:
        """The keys that are being loaded."""
        return self._loads.keys

    def is_loading(self, key: Key) -> bool:
        """Tells whether a caller would join a load."""
        return self._loads.is_loading(key)

    def get(self, key: Key) -> Value | None:
        """Returns the value, None where there is none or it has expired."""
        value, expires_at = self._values.get(key, (None, 0.0))
        if value is None or (self._ttl is not None and expires_at <= time.monotonic()):
            return None
        self._values.move_to_end(key)
        return value

    async def load(self, key: Key, load: Load[Value]) -> Value:
        """Returns the value, loaded where there is none or it has expired. Raises what the load raises."""
        value = self.get(key)
        return await self._loads.run(key, lambda: self._load(key, load)) if value is None else value

    def put(self, key: Key, value: Value, *, since: float | None = None) -> None:
        """Stores a value that is true since a time by the monotonic clock, in seconds, or since now."""
        expires_at = 0.0
        if self._ttl is not None:
            expires_at = (time.monotonic() if since is None else since) + self._ttl(value)
        self._values[key] = value, expires_at
        self._values.move_to_end(key)
        if len(self._values) > self._capacity:
            self._values.popitem(last=False)

    def delete(self, is_outdated: Callable[[Value], bool]) -> None:
        """Deletes the outdated values, and stores none whose load is in progress: it may have read the old state."""
        self._loads.detach_all()
        for key in [key for key, (value, _) in self._values.items() if is_outdated(value)]:
            del self._values[key]

    def clear(self) -> None:
        """Deletes every value, and stores none whose load is in progress."""
        self._loads.detach_all()
        self._values.clear()

    async def _load(self, key: Key, load: Load[Value]) -> Value:
        began = time.monotonic()
        value = await load()
        if self._loads.is_current(key):
            self.put(key, value, since=began)
        return value
