"""Health: the empty name tells whether the server goes on, a service's name too, whether it has what it needs.

That is a database that reads and writes, and the model.
"""

import asyncio
from collections.abc import Sequence

import structlog

from commontrace.domain.errors import OperatorNeeded
from commontrace.domain.log_safety import operator_facts, safe_message
from commontrace.embeddings.active_model import ActiveModel
from commontrace.rpc.health.service import HealthService
from commontrace.storage.database import Database

log = structlog.get_logger()

_PERIOD_SECONDS = 1.0
_PATIENCE_SECONDS = 1.0


class Readiness:
    """Asks the database every second and tells the health service when the answer changes."""

    def __init__(self, health: HealthService, database: Database, model: ActiveModel, services: Sequence[str]) -> None:
        """Takes whom to tell, whom to ask, and the names that depend on it."""
        self._health = health
        self._database = database
        self._model = model
        self._services = services
        self._was_serving: bool | None = None
        self._told = ""

    @property
    def is_serving(self) -> bool:
        """Whether the services were ready when it was last asked."""
        return self._was_serving is True

    async def watch(self) -> None:
        """Runs until cancelled."""
        while True:
            await self.check()
            await asyncio.sleep(_PERIOD_SECONDS)

    async def check(self) -> None:
        """Asks once."""
        serving = self._model.is_usable
        try:
            await self._ask()
        except Exception as error:  # noqa: BLE001 - whatever it is, the watch goes on and readiness is lost
            serving = False
            self._tell(error)
        else:
            self._told = ""
        if serving != self._was_serving:
            self._was_serving = serving
            for service in self._services:
                self._health.set(service, is_serving=serving)

    def _tell(self, error: Exception) -> None:
        if safe_message(error) == self._told:
            return
        self._told = safe_message(error)
        if isinstance(error, OperatorNeeded):
            log.error("the database has to be mended", **operator_facts(error))
        else:
            log.warning("the database does not answer", error=self._told)

    async def _ask(self) -> None:
        asking = asyncio.create_task(self._database.ping())
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                # Shielded, because giving up on a connection that does not answer takes seconds of its own.
                await asyncio.shield(asking)
        finally:
            asking.cancel()
