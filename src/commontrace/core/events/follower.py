"""Event follower: tracks the watermark of the event log for all watchers of this server together (ADR 0019)."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from commontrace.backoff import backoff_seconds
from commontrace.domain.events.commit_order import CommitOrder
from commontrace.domain.log_safety import safe_message
from commontrace.storage.database import Database
from commontrace.storage.events.tail import EventTail

log = structlog.get_logger()

# The polling interval: notifications are not relied on.
_PERIOD_SECONDS = 1.0
# The least time between two snapshots, however many notifications come.
_LEAST_PAUSE_SECONDS = 0.01
_FIRST_GAP_SECONDS, _LONGEST_GAP_SECONDS = 0.02, 0.25
_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 0.1, 2.0


class EventFollower:
    """The watermark, as long as there are watchers. One listening connection serves all of them.

    The database is not asked before the first watcher.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._order = CommitOrder()
        self._watchers = 0
        self._wanted = asyncio.Event()
        self._woken = asyncio.Event()
        self._changed = asyncio.Event()
        self._snapshots_begun = 0
        self._last_snapshot_done = 0
        self._failures = 0
        self._failure: Exception | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Follows the events while the block lasts."""
        self._watchers += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._watchers -= 1

    async def current_watermark(self) -> int:
        """Returns the watermark of a snapshot that begins after this call. Raises what makes snapshots fail."""
        due, failures = self._snapshots_begun + 1, self._failures
        self._woken.set()
        while self._last_snapshot_done < due or self._order.watermark is None:
            await self._changed.wait()
            self._raise_if_failed_since(failures)
        return self._order.watermark

    async def watermark_after(self, sequence: int) -> int:
        """Returns the watermark once it is beyond the sequence number. Raises what makes snapshots fail."""
        failures = self._failures
        while self._order.watermark is None or self._order.watermark <= sequence:
            await self._changed.wait()
            self._raise_if_failed_since(failures)
        return self._order.watermark

    async def run(self) -> None:
        """Runs until cancelled. Failures reach the watchers; the connection is retried with back-off meanwhile."""
        attempts = 0
        while True:
            await self._wanted.wait()
            snapshots = self._last_snapshot_done
            try:
                async with self._database.tail_events(self._woken.set) as tail:
                    await self._follow(tail)
            except Exception as error:  # noqa: BLE001 - whatever it is, watchers get it, and it is tried again
                if self._last_snapshot_done > snapshots:
                    # The connection worked, so another one may: watchers get a failure only if that one fails.
                    attempts = 0
                    log.warning("the connection that follows events was lost", error=safe_message(error))
                    continue
                self._notify_failure(error)
                attempts += 1
                await asyncio.sleep(
                    backoff_seconds(attempts, first=_FIRST_RETRY_SECONDS, longest=_LONGEST_RETRY_SECONDS)
                )
            if not self._watchers:
                self._wanted.clear()

    async def _follow(self, tail: EventTail) -> None:
        order, waits_for_gap = self._order, 0
        while self._watchers:
            self._snapshots_begun += 1
            self._woken.clear()
            before = order.watermark
            snapshot = await tail.take_snapshot(before, draws=not order.has_gap)
            moves_at_once = order.apply(snapshot)
            self._last_snapshot_done = self._snapshots_begun
            self._notify()
            if moves_at_once:
                continue
            await asyncio.sleep(_LEAST_PAUSE_SECONDS)
            if order.has_gap:
                waits_for_gap = waits_for_gap + 1 if order.watermark == before else 1
                pause = backoff_seconds(waits_for_gap, first=_FIRST_GAP_SECONDS, longest=_LONGEST_GAP_SECONDS)
            else:
                waits_for_gap, pause = 0, _PERIOD_SECONDS
            await self._until_woken(pause)
        # After a long time without watchers, starting anew takes less than counting all events since.
        self._order = CommitOrder()

    async def _until_woken(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _notify_failure(self, error: Exception) -> None:
        self._failures += 1
        self._failure = error
        self._notify()

    def _raise_if_failed_since(self, failures: int) -> None:
        if self._failures > failures and self._failure is not None:
            raise self._failure
