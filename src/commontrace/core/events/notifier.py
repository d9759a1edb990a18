"""Event notifier: wakes the servers that have watchers, by NOTIFY (ADR 0019)."""

import asyncio

import structlog

from commontrace.domain.log_safety import safe_message
from commontrace.storage.database import Database

log = structlog.get_logger()

# Commits of so many seconds share one notification.
_PAUSE_SECONDS = 0.02


async def run_notifier(database: Database) -> None:
    """Runs until cancelled: after commits that added events, sends one notification for all of them."""
    while True:
        await database.events_added.wait()
        database.events_added.clear()
        try:
            await database.notify_event_followers()
        except Exception as error:  # noqa: BLE001 - whatever it is, followers poll as well
            log.debug("events could not be announced", error=safe_message(error))
        await asyncio.sleep(_PAUSE_SECONDS)
