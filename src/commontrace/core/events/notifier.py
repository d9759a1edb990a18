"""Wakes the servers at which somebody watches."""

import asyncio

import structlog

from commontrace.domain.log_safety import safe_message
from commontrace.storage.database import Database

log = structlog.get_logger()

# What is committed meanwhile is announced together.
_PAUSE_SECONDS = 0.02


async def run_notifier(database: Database) -> None:
    """Runs until cancelled: after commits that added events, says once for all of them that there are some."""
    while True:
        await database.events_added.wait()
        database.events_added.clear()
        try:
            await database.notify_event_followers()
        except Exception as error:  # noqa: BLE001 - whatever it is, who watches looks without being woken, too
            log.debug("events could not be announced", error=safe_message(error))
        await asyncio.sleep(_PAUSE_SECONDS)
