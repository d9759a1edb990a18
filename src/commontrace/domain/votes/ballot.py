"""What voters say of traces."""

from dataclasses import dataclass
from uuid import UUID

UP = "up"
DOWN = "down"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ballot:
    """What a voter says of a trace. DOWN has a reason. Without a revision, the current one is meant."""

    trace_id: UUID
    vote_type: str
    reason: str | None
    comment: str
    revision: int | None
