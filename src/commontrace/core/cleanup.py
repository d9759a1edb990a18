"""What is not kept for ever."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog

from commontrace.domain.log_safety import safe_message
from commontrace.storage.database import Database
from commontrace.storage.unit_of_work import UnitOfWork

log = structlog.get_logger()

_PERIOD_SECONDS = 300.0
_BEFORE_ALL = UUID(int=0)


async def delete_expired_answers(database: Database, batch: int = 500) -> int:
    """Drops the stored answers of requests older than 24 hours and returns how many, a short transaction a batch."""
    return await _forget(lambda work: work.idempotency.forget_expired(batch), database, batch)


async def delete_expired_imports(database: Database, batch: int = 5_000) -> int:
    """Drops what is known of items imported more than 30 days ago and returns how many, likewise."""
    return await _forget(lambda work: work.imports.forget_expired(batch), database, batch)


async def delete_expired_events(database: Database, batch: int = 500) -> int:
    """Drops the events older than 7 days, all but the last of them, and returns how many, likewise."""
    return await _forget(lambda work: work.events.forget_expired(batch), database, batch)


async def delete_expired_quotas(database: Database, batch: int = 500) -> int:
    """Drops what was counted of quotas more than two days ago and returns how many rows, likewise."""
    return await _forget(lambda work: work.quotas.forget_expired(batch), database, batch)


async def delete_unused_tags(database: Database, batch: int = 1_000) -> int:
    """Drops the tags that are of no use to anybody for a day and returns how many; looks at all, likewise."""
    forgotten, after = 0, _BEFORE_ALL
    while True:
        async with database.unit_of_work() as work:
            looked = await work.tag_changes.forget_unused(after=after, most=batch)
        forgotten += looked.forgotten
        after = looked.last
        if looked.looked_at < batch:
            return forgotten


async def run_cleanup(database: Database) -> None:
    """Runs until cancelled. A database that is away is asked again later."""
    while True:
        await asyncio.sleep(_PERIOD_SECONDS)
        try:
            answers = await delete_expired_answers(database)
            items = await delete_expired_imports(database)
            events = await delete_expired_events(database)
            await delete_expired_quotas(database)
            tags = await delete_unused_tags(database)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            log.warning("what has expired could not be removed", error=safe_message(error))
        else:
            if answers or items or events or tags:
                log.info(
                    "removed what has expired", answers=answers, imported_items=items, events=events, unused_tags=tags
                )


async def _forget(some: Callable[[UnitOfWork], Awaitable[int]], database: Database, batch: int) -> int:
    forgotten = 0
    while True:
        async with database.unit_of_work() as work:
            dropped = await some(work)
        forgotten += dropped
        if dropped < batch:
            return forgotten
