"""How long the encoding queue is, as last seen."""

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
    """Asks the database now and then."""

    def __init__(self, database: "Database") -> None:
        """Takes whom to ask."""
        self._database = database
        self.seen: QueueState | None = None
        """None while nobody knows: not yet asked, or the database does not answer."""

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_PERIOD_SECONDS)

    async def look(self) -> None:
        """Asks once."""
        try:
            self.seen = await self._database.read(lambda reading: reading.encoding_jobs.get_state())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is asked again
            self.seen = None
            log.debug("the encoding queue cannot be counted", error=safe_message(error))
