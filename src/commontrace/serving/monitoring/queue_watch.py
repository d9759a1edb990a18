"""State of the encoding queue, read periodically for the metrics."""

import asyncio
from typing import TYPE_CHECKING

import structlog

from commontrace.domain.log_safety import safe_message

if TYPE_CHECKING:
    from commontrace.storage.database import Database
    from commontrace.storage.encoding.jobs import QueueState

log = structlog.get_logger()

_PERIOD_SECONDS = 15.0


class QueueWatch:
    """Reads the state of the encoding queue every 15 seconds."""

    def __init__(self, database: "Database") -> None:
        self._database = database
        self.state: QueueState | None = None
        """None before the first read, and while the database does not answer."""

    async def run(self) -> None:
        """Reads periodically, until cancelled."""
        while True:
            await self.read()
            await asyncio.sleep(_PERIOD_SECONDS)

    async def read(self) -> None:
        """Reads once."""
        try:
            self.state = await self._database.read(lambda reading: reading.encoding_jobs.get_state())
        except Exception as error:  # noqa: BLE001 - any failure means unknown, and the next read follows
            self.state = None
            log.debug("the encoding queue cannot be counted", error=safe_message(error))
