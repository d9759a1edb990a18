"""Retention: deletes what has expired, in short transactions of one batch each."""

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
    """Deletes the stored answers of idempotent writes older than 24 hours; returns how many (ADR 0007)."""
    return await _delete(lambda work: work.idempotency.delete_expired(batch), database, batch)


async def delete_expired_imports(database: Database, batch: int = 5_000) -> int:
    """Deletes the ledger entries of items imported more than 30 days ago; returns how many (ADR 0018)."""
    return await _delete(lambda work: work.imports.delete_expired(batch), database, batch)


async def delete_expired_events(database: Database, batch: int = 500) -> int:
    """Deletes the events older than 7 days, except the last one of all; returns how many (ADR 0019)."""
    return await _delete(lambda work: work.events.delete_expired(batch), database, batch)


async def delete_expired_quotas(database: Database, batch: int = 500) -> int:
    """Deletes the counts of quota windows older than two days; returns how many."""
    return await _delete(lambda work: work.quotas.delete_expired(batch), database, batch)


async def delete_unused_tags(database: Database, batch: int = 1_000) -> int:
    """Deletes the tags unused for a day; returns how many. Walks over all tags."""
    deleted, after = 0, _BEFORE_ALL
    while True:
        async with database.unit_of_work() as work:
            scan = await work.tag_changes.delete_unused(after=after, limit=batch)
        deleted += scan.deleted
        after = scan.last_id
        if scan.scanned < batch:
            return deleted


async def run_cleanup(database: Database) -> None:
    """Runs until cancelled: deletes what has expired every five minutes. A failed round is left to the next one."""
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


async def _delete(delete_batch: Callable[[UnitOfWork], Awaitable[int]], database: Database, batch: int) -> int:
    deleted = 0
    while True:
        async with database.unit_of_work() as work:
            deleted_now = await delete_batch(work)
        deleted += deleted_now
        if deleted_now < batch:
            return deleted
