"""Watching: a stream of events, each once and in order, with checkpoints while there are none (ADR 0019)."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from commontrace.core.events.follower import EventFollower
from commontrace.domain import limits
from commontrace.domain.errors import WatchTokenOutOfRange
from commontrace.domain.namespaces.access import ReadableNamespaces
from commontrace.storage.database import Database
from commontrace.storage.events.repository import EventRow

CHECKPOINT_SECONDS = 10.0
"""The time without events after which a checkpoint is sent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventBatch:
    """Events, or none: a checkpoint. The next batch begins after `position`."""

    events: list[EventRow]
    position: int


class EventWatch:
    """The event log as a stream. Events are delivered up to the follower's watermark."""

    def __init__(
        self, database: Database, follower: EventFollower, *, checkpoint_seconds: float = CHECKPOINT_SECONDS
    ) -> None:
        self._database = database
        self._follower = follower
        self._checkpoint_seconds = checkpoint_seconds

    async def events(
        self, after: int | None, namespaces: Callable[[], Awaitable[ReadableNamespaces]]
    ) -> AsyncGenerator[EventBatch]:
        """Yields the events after a position, or from now on, for ever; a checkpoint first.

        `namespaces` returns those whose events the caller may read at the moment, and raises what ends the watch.
        Holds no connection while it waits for events or for the reader. Raises WatchTokenOutOfRange,
        DatabaseUnavailable, Overloaded.
        """
        await self._require_all_kept_since(after)
        with self._follower.watched():
            position = await self._follower.current_watermark() if after is None else after
            yield EventBatch(events=[], position=position)
            due = self._next_checkpoint()
            while True:
                watermark = await self._watermark_after(position, until=due)
                readable = await namespaces()
                events = await self._load_events(position, watermark, readable) if watermark > position else []
                # After a full batch there may be more events below the watermark.
                position = events[-1].sequence if len(events) == limits.EVENTS_A_MESSAGE else watermark
                if events or asyncio.get_running_loop().time() >= due:
                    yield EventBatch(events=events, position=position)
                    due = self._next_checkpoint()

    async def _watermark_after(self, position: int, *, until: float) -> int:
        """Returns the watermark beyond the position, or the position itself once the time has come."""
        try:
            async with asyncio.timeout_at(until):
                return await self._follower.watermark_after(position)
        except TimeoutError:
            return position

    async def _load_events(self, after: int, watermark: int, namespaces: ReadableNamespaces) -> list[EventRow]:
        found = await self._database.read(
            lambda reading: reading.events.list_between(after, watermark, namespaces, limit=limits.EVENTS_A_MESSAGE)
        )
        if found.begins_expired:
            # The reader is days behind: events before this one may have been deleted.
            await self._require_all_kept_since(after)
        return found.events

    async def _require_all_kept_since(self, position: int | None) -> None:
        kept = await self._database.read(lambda reading: reading.events.get_retained())
        if position is not None and not kept.has_all_after(position):
            raise WatchTokenOutOfRange

    def _next_checkpoint(self) -> float:
        return asyncio.get_running_loop().time() + self._checkpoint_seconds
