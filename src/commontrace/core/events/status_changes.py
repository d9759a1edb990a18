"""Events of a status that has changed."""

from uuid import UUID

from commontrace.domain.events.event_types import DEMOTED
from commontrace.domain.traces.contribution import VALIDATED
from commontrace.storage.unit_of_work import UnitOfWork


async def tell_status(trace_id: UUID, before: str, after: str, revision: int, work: UnitOfWork) -> None:
    """Tells of a trace whose status may have changed."""
    if before != after:
        await work.events.add(trace_id, VALIDATED if after == VALIDATED else DEMOTED, revision=revision)
