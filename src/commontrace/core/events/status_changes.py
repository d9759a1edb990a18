"""Events of status changes."""

from uuid import UUID

from commontrace.domain.events.event_types import DEMOTED
from commontrace.domain.traces.contribution import VALIDATED
from commontrace.storage.unit_of_work import UnitOfWork


async def add_status_event(trace_id: UUID, before: str, after: str, revision: int, work: UnitOfWork) -> None:
    """Adds the event of a trace whose status may have changed; none if it has not."""
    if before != after:
        await work.events.add(trace_id, VALIDATED if after == VALIDATED else DEMOTED, revision=revision)
