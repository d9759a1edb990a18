"""Recall of the vector index, measured on samples of the stored vectors."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import structlog

from commontrace.domain.log_safety import safe_message
from commontrace.domain.namespaces.access import NamespaceAccess
from commontrace.domain.search.neighbours import NeighbourQuery
from commontrace.domain.search.query import candidates_for
from commontrace.domain.traces.trace_filter import everything_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from commontrace.embeddings.embedder import Vector
    from commontrace.embeddings.model import Model
    from commontrace.storage.database import Database

log = structlog.get_logger()

LIMIT = 10
LEAST_TRACES = 1_000
"""With fewer, Postgres scans all of them anyway, or nearly."""
MOST_TRACES = 100_000
"""With more, an exact search would use a core for too long."""

_TIMEOUT_SECONDS = 5.0
# A probe measures tenths: the mean of several is more exact.
_REMEMBERED = 20
# Tolerance: both searches sum the same products in another order.
_SAME_DISTANCE = 1e-6


class RecallProbe:
    """Compares an approximate and an exact search for the neighbours of a random stored vector, periodically.

    Stored vectors are easier to find than queries: the figure shows a decayed index, not the quality of searches.
    `period_seconds` is the wait between two probes; 0 turns them off.
    """

    def __init__(
        self,
        database: "Database",
        model: "Callable[[], Model]",
        *,
        period_seconds: float,
        least_traces: int = LEAST_TRACES,
    ) -> None:
        self._database = database
        self._model = model
        self._period_seconds = period_seconds
        self._least_traces = least_traces
        self._shares: deque[float] = deque(maxlen=_REMEMBERED)
        self.outcomes = {"measured": 0, "too_few": 0, "too_many": 0, "failed": 0}
        """The number of probes by outcome."""

    @property
    def recall(self) -> float | None:
        """The mean recall of the last 20 probes, 0..1; None before the first."""
        return sum(self._shares) / len(self._shares) if self._shares else None

    async def run(self) -> None:
        """Probes periodically, until cancelled."""
        while self._period_seconds:
            await asyncio.sleep(self._period_seconds)
            await self.probe()

    async def probe(self) -> None:
        """Probes once."""
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                outcome = await self._measure()
        except Exception as error:  # noqa: BLE001 - searches do not depend on it
            log.debug("recall cannot be measured", error=safe_message(error))
            outcome = "failed"
        self.outcomes[outcome] += 1

    async def _measure(self) -> str:
        count = await self._database.read(lambda reading: reading.vector_sample.estimate_trace_count())
        if count > MOST_TRACES:
            return "too_many"
        model = self._model()
        sample = await self._database.read(lambda reading: reading.vector_sample.find_random(model))
        if count < self._least_traces or sample is None:
            return "too_few"
        # As an admin searches: the index is one for all namespaces.
        found_access = await self._database.read(lambda reading: reading.namespace_access.get("", is_admin=True))
        access = NamespaceAccess.of(found_access.grants, covers_all=True, is_admin=True)
        query = _neighbours_of(sample.vector, sample.trace_id, model, access)
        wanted = await self._database.read(lambda reading: reading.exact_search.neighbours(query))
        found = await self._database.search(lambda search: search.neighbours(query, ef_search=candidates_for(LIMIT)))
        if len(wanted) < LIMIT:
            return "too_few"
        farthest = wanted[-1].distance + _SAME_DISTANCE
        self._shares.append(sum(neighbour.distance <= farthest for neighbour in found) / LIMIT)
        return "measured"


def _neighbours_of(vector: "Vector", trace_id: "UUID", model: "Model", access: NamespaceAccess) -> NeighbourQuery:
    return NeighbourQuery(
        vector=vector,
        model_id=model.model_id,
        model_version=model.model_version,
        limit=LIMIT,
        trace_filter=everything_in(access.readable),
        excluded_id=trace_id,
    )
