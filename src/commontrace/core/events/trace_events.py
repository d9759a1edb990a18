"""Events of traces that a transaction has locked: of any change, and of changes of status."""

from commontrace.domain.events.event_types import DEMOTED
from commontrace.domain.traces.contribution import VALIDATED
from commontrace.domain.traces.locked_trace import LockedTrace
from commontrace.storage.unit_of_work import UnitOfWork


async def add_event(trace: LockedTrace, event_type: str, work: UnitOfWork, *, revision: int | None = None) -> None:
    """Adds the event of a locked trace, at its revision or at that of the change."""
    revision = trace.revision if revision is None else revision
    await work.events.add(trace.id, event_type, revision=revision, namespace_id=trace.namespace_id)


async def add_status_event(trace: LockedTrace, status: str, work: UnitOfWork, *, revision: int) -> None:
    """Adds the event of a locked trace whose status may have changed to `status`; none if it has not."""
    if trace.status != status:
        await add_event(trace, VALIDATED if status == VALIDATED else DEMOTED, work, revision=revision)
