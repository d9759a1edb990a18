"""Invalidation: drops what a server remembers of keys and namespaces when the database announces a change."""

import asyncio

import structlog

from commontrace.backoff import backoff_seconds
from commontrace.core.keys.cache import KeyCache
from commontrace.core.namespaces.access_cache import NamespaceAccessCache
from commontrace.domain.errors import CommonTraceError
from commontrace.storage.database import Database

log = structlog.get_logger()

_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 1.0, 4.0


class Invalidation:
    """Keeps the caches of keys and of access true, by notifications. Without them, both are true to a few seconds."""

    def __init__(self, database: Database, keys: KeyCache, accesses: NamespaceAccessCache) -> None:
        self._database = database
        self._keys = keys
        self._accesses = accesses

    async def run(self) -> None:
        """Runs until cancelled."""
        attempts = 0
        while True:
            attempts += 1
            try:
                async with self._database.listen_for_access_changes(
                    self._keys.invalidate, self._accesses.invalidate_all
                ) as lost:
                    attempts = 1
                    # Notifications are lost while no connection listens.
                    self._keys.invalidate_all()
                    self._accesses.invalidate_all()
                    await lost.wait()
            except CommonTraceError as error:
                log.debug("changes of keys and namespaces are not heard; both are loaded anew", error=str(error))
            pause = backoff_seconds(attempts, first=_FIRST_RETRY_SECONDS, longest=_LONGEST_RETRY_SECONDS)
            await asyncio.sleep(pause)
