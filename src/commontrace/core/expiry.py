"""What is not kept for ever."""

import asyncio
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from commontrace.storage.database import Database

log = structlog.get_logger()

_PERIOD_SECONDS = 300.0


async def forget_expired_imports(database: "Database", batch: int = 5_000) -> int:
    """Drops what is known of items imported more than 30 days ago and returns how many, a short transaction a batch."""
    forgotten = 0
    while True:
        async with database.unit_of_work() as work:
            dropped = await work.imports.forget_expired(batch)
        forgotten += dropped
        if dropped < batch:
            return forgotten


async def forget_expired_answers(database: "Database", batch: int = 500) -> int:
    """Drops the stored answers of requests older than 24 hours and returns how many, a short transaction a batch."""
    forgotten = 0
    while True:
        async with database.unit_of_work() as work:
            dropped = await work.idempotency.forget_expired(batch)
        forgotten += dropped
        if dropped < batch:
            return forgotten


async def forget_expired_events(database: "Database", batch: int = 500) -> int:
    """Drops the events older than 7 days, all but the last of them, and returns how many, as above."""
    forgotten = 0
    while True:
        async with database.unit_of_work() as work:
            dropped = await work.events.forget_expired(batch)
        forgotten += dropped
        if dropped < batch:
            return forgotten


async def keep_forgetting(database: "Database") -> None:
    """Runs until cancelled. A database that is away is asked again later."""
    while True:
        await asyncio.sleep(_PERIOD_SECONDS)
        try:
            answers = await forget_expired_answers(database)
            items = await forget_expired_imports(database)
            events = await forget_expired_events(database)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            log.warning("what has expired could not be removed", error=str(error) or type(error).__name__)
        else:
            if answers or items or events:
                log.info("removed what has expired", answers=answers, imported_items=items, events=events)
