"""Readiness and liveness: services are SERVING while the database and the model work, the server until shutdown.

The server is the empty name of the health service. A database that only reads does not work.
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
_TIMEOUT_SECONDS = 1.0


class Readiness:
    """Checks the database and the model every second, and sets the health of the services when it changes."""

    def __init__(self, health: HealthService, database: Database, model: ActiveModel, services: Sequence[str]) -> None:
        self._health = health
        self._database = database
        self._model = model
        self._services = services
        self._was_serving: bool | None = None
        self._logged = ""

    @property
    def is_serving(self) -> bool:
        """True if the services were ready at the last check."""
        return self._was_serving is True

    async def run_checks(self) -> None:
        """Checks every second, until cancelled."""
        while True:
            await self.check()
            await asyncio.sleep(_PERIOD_SECONDS)

    async def check(self) -> None:
        """Checks once; logs a failure unless it is the one logged last."""
        serving = self._model.is_usable
        try:
            await self._ping()
        except Exception as error:  # noqa: BLE001 - any failure means not ready, and the checks go on
            serving = False
            self._log(error)
        else:
            self._logged = ""
        if serving != self._was_serving:
            self._was_serving = serving
            for service in self._services:
                self._health.set(service, is_serving=serving)

    def _log(self, error: Exception) -> None:
        if safe_message(error) == self._logged:
            return
        self._logged = safe_message(error)
        if isinstance(error, OperatorNeeded):
            log.error("the database has to be mended", **operator_facts(error))
        else:
            log.warning("the database does not answer", error=self._logged)

    async def _ping(self) -> None:
        ping = asyncio.create_task(self._database.ping())
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                # Shielded: cancelling on a connection that does not answer takes seconds of its own.
                await asyncio.shield(ping)
        finally:
            ping.cancel()
