"""What somebody who watches is told: every event once, in order, and now and then that there was none."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from commontrace.core.events.follower import EventFollower
from commontrace.domain import limits
from commontrace.domain.errors import WatchTokenOutOfRange
from commontrace.storage.database import Database
from commontrace.storage.events.repository import EventRow

CHECKPOINT_SECONDS = 10.0
"""So long nothing has happened before that is said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventBatch:
    """Events, or none: a checkpoint. What follows is behind `position`."""

    events: list[EventRow]
    position: int


class EventWatch:
    """Tells what happens to traces."""

    def __init__(
        self, database: Database, following: EventFollower, *, checkpoint_seconds: float = CHECKPOINT_SECONDS
    ) -> None:
        """Takes where events are, and who knows which of them are settled."""
        self._database = database
        self._following = following
        self._checkpoint_seconds = checkpoint_seconds

    async def events(self, after: int | None) -> AsyncGenerator[EventBatch]:
        """Yields what happens behind a position, or from now on, for ever; a checkpoint first.

        Holds no connection while nothing happens or what was told is being sent. Raises WatchTokenOutOfRange,
        DatabaseUnavailable, Overloaded.
        """
        await self._require_all_behind(after)
        with self._following.watched():
            position = await self._following.now() if after is None else after
            yield EventBatch(events=[], position=position)
            due = self._next_checkpoint()
            while True:
                settled = await self._settled_behind(position, until=due)
                events = await self._next_events(position, settled) if settled > position else []
                # Behind a full batch there may be more below what is settled.
                position = events[-1].sequence if len(events) == limits.EVENTS_A_MESSAGE else settled
                if events or asyncio.get_running_loop().time() >= due:
                    yield EventBatch(events=events, position=position)
                    due = self._next_checkpoint()

    async def _settled_behind(self, position: int, *, until: float) -> int:
        """Returns what is settled, or the position itself when the time is over before anything behind it is."""
        try:
            async with asyncio.timeout_at(until):
                return await self._following.behind(position)
        except TimeoutError:
            return position

    async def _next_events(self, after: int, settled: int) -> list[EventRow]:
        events = await self._database.read(
            lambda reading: reading.events.list_between(after, settled, limit=limits.EVENTS_A_MESSAGE)
        )
        if events and events[0].is_expired:
            # The reader is slow by days: some may have been forgotten before it.
            await self._require_all_behind(after)
        return events

    async def _require_all_behind(self, position: int | None) -> None:
        kept = await self._database.read(lambda reading: reading.events.get_retained())
        if position is not None and not kept.has_all_after(position):
            raise WatchTokenOutOfRange

    def _next_checkpoint(self) -> float:
        return asyncio.get_running_loop().time() + self._checkpoint_seconds
