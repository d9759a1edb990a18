"""Follows the events of a database, for all who watch at this server together."""

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

# Being woken is not relied on.
_PERIOD_SECONDS = 1.0
# Of looks one after the other, however many wake-ups come; a gap is looked at again after twice as long each time.
_LEAST_PAUSE_SECONDS = 0.01
_LONGEST_GAP_PAUSE_SECONDS = 0.25
_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 0.1, 2.0


class EventFollower:
    """How far the events are settled, as long as somebody watches. One connection, which listens, serves all."""

    def __init__(self, database: Database) -> None:
        """Takes which database to follow; nothing is asked before somebody watches."""
        self._database = database
        self._settlement = CommitOrder()
        self._watchers = 0
        self._wanted = asyncio.Event()
        self._woken = asyncio.Event()
        self._changed = asyncio.Event()
        self._looks_begun = 0
        self._last_look_done = 0
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

    async def now(self) -> int:
        """Returns the last settled event, as of a look that begins after this call. Raises what makes looks fail."""
        due, failures = self._looks_begun + 1, self._failures
        self._woken.set()
        while self._last_look_done < due or self._settlement.settled is None:
            await self._changed.wait()
            self._raise_if_failed_since(failures)
        return self._settlement.settled

    async def behind(self, sequence: int) -> int:
        """Returns the last settled event once it is behind the given one. Raises what makes looks fail."""
        failures = self._failures
        while self._settlement.settled is None or self._settlement.settled <= sequence:
            await self._changed.wait()
            self._raise_if_failed_since(failures)
        return self._settlement.settled

    async def run(self) -> None:
        """Runs until cancelled. Whoever watches is told of a database that is away, which is tried again meanwhile."""
        attempts = 0
        while True:
            await self._wanted.wait()
            looks = self._last_look_done
            try:
                async with self._database.tail_events(self._woken.set) as tail:
                    await self._follow(tail)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and tried again
                if self._last_look_done > looks:
                    # The connection worked, so another one may: only if it does not is there something to tell.
                    attempts = 0
                    log.warning("the connection that follows events was lost", error=safe_message(error))
                    continue
                self._tell_failure(error)
                attempts += 1
                await asyncio.sleep(
                    backoff_seconds(attempts, first=_FIRST_RETRY_SECONDS, longest=_LONGEST_RETRY_SECONDS)
                )
            if not self._watchers:
                self._wanted.clear()

    async def _follow(self, tail: EventTail) -> None:
        settlement, pause = self._settlement, _LEAST_PAUSE_SECONDS
        while self._watchers:
            self._looks_begun += 1
            self._woken.clear()
            before = settlement.settled
            look = await tail.look(before, draws=not settlement.is_pending)
            is_more_known_at_once = settlement.take(look)
            self._last_look_done = self._looks_begun
            self._tell()
            if is_more_known_at_once:
                continue
            await asyncio.sleep(_LEAST_PAUSE_SECONDS)
            pause = _LEAST_PAUSE_SECONDS if settlement.settled != before else min(2 * pause, _LONGEST_GAP_PAUSE_SECONDS)
            await self._until_woken(pause if settlement.is_pending else _PERIOD_SECONDS)
        # Behind a long time without looks, counting would take longer than starting anew.
        self._settlement = CommitOrder()

    async def _until_woken(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _tell_failure(self, error: Exception) -> None:
        self._failures += 1
        self._failure = error
        self._tell()

    def _raise_if_failed_since(self, failures: int) -> None:
        if self._failures > failures and self._failure is not None:
            raise self._failure
