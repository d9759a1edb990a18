"""What happens to traces, as those who watch them are told."""

from typing import TYPE_CHECKING
from uuid import UUID

from commontrace.domain.traces.contribution import VALIDATED

if TYPE_CHECKING:
    from commontrace.storage.unit_of_work import UnitOfWork

CREATED = "created"
UPDATED = "updated"
DEMOTED = "demoted"
SUPERSEDED = "superseded"
DELETED = "deleted"
UNDELETED = "undeleted"
PURGED = "purged"


async def tell_status(trace_id: UUID, before: str, after: str, revision: int, work: "UnitOfWork") -> None:
    """Tells of a trace whose status may have changed."""
    if before != after:
        await work.events.add(trace_id, VALIDATED if after == VALIDATED else DEMOTED, revision=revision)
