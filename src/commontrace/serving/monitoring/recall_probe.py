"""How much of what lies nearest the vector index finds, tried out on what is stored."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import structlog

from commontrace.domain.log_safety import safe_message
from commontrace.domain.search.neighbours import NeighbourQuery
from commontrace.domain.search.query import candidates_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from commontrace.embeddings.embedder import Vector
    from commontrace.embeddings.model import Model
    from commontrace.storage.database import Database

log = structlog.get_logger()

LIMIT = 10
LEAST_TRACES = 1_000
"""Of fewer, Postgres compares all anyway, or nearly."""
MOST_TRACES = 100_000
"""Of more, comparing all would take a core for too long."""

_PATIENCE_SECONDS = 5.0
# A probe is right or wrong by tenths: only several together tell anything.
_REMEMBERED = 20
# The two passes add the same numbers up in another order.
_SAME_DISTANCE = 1e-6


class RecallProbe:
    """Now and then searches for the neighbours of a random stored vector by the index, and by comparing all.

    Stored vectors are easier to find than questions: this tells an index that has decayed, not how good answers are.
    """

    def __init__(
        self,
        database: "Database",
        model: "Callable[[], Model]",
        *,
        period_seconds: float,
        least_traces: int = LEAST_TRACES,
    ) -> None:
        """Takes whom to ask, whose vectors count, and how long to wait between two probes; 0 makes none."""
        self._database = database
        self._model = model
        self._period_seconds = period_seconds
        self._least_traces = least_traces
        self._shares: deque[float] = deque(maxlen=_REMEMBERED)
        self.outcomes = {"measured": 0, "too_few": 0, "too_many": 0, "failed": 0}
        """How often a probe came to what."""

    @property
    def recall(self) -> float | None:
        """The mean of the last probes, within 0..1; None before the first."""
        return sum(self._shares) / len(self._shares) if self._shares else None

    async def run(self) -> None:
        """Runs until cancelled."""
        while self._period_seconds:
            await asyncio.sleep(self._period_seconds)
            await self.probe()

    async def probe(self) -> None:
        """Tries one vector."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                outcome = await self._probed()
        except Exception as error:  # noqa: BLE001 - whatever it is, searches do not depend on it
            log.debug("recall cannot be measured", error=safe_message(error))
            outcome = "failed"
        self.outcomes[outcome] += 1

    async def _probed(self) -> str:
        count = await self._database.read(lambda reading: reading.vector_sample.estimate_trace_count())
        if count > MOST_TRACES:
            return "too_many"
        model = self._model()
        sample = await self._database.read(lambda reading: reading.vector_sample.find_random(model))
        if count < self._least_traces or sample is None:
            return "too_few"
        nearest = _around(sample.vector, sample.trace_id, model)
        wanted = await self._database.read(lambda reading: reading.exact_search.neighbours(nearest))
        found = await self._database.search(lambda search: search.neighbours(nearest, ef_search=candidates_for(LIMIT)))
        if len(wanted) < LIMIT:
            return "too_few"
        farthest = wanted[-1].distance + _SAME_DISTANCE
        self._shares.append(sum(neighbour.distance <= farthest for neighbour in found) / LIMIT)
        return "measured"


def _around(vector: "Vector", trace_id: "UUID", model: "Model") -> NeighbourQuery:
    return NeighbourQuery(
        vector=vector,
        model_id=model.model_id,
        model_version=model.model_version,
        limit=LIMIT,
        excluded_id=trace_id,
    )
