"""Ballots: votes as cast."""

from dataclasses import dataclass
from uuid import UUID

UP = "up"
DOWN = "down"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ballot:
    """A vote on a trace. DOWN needs a reason. Without a revision, it is on the current one."""

    trace_id: UUID
    vote_type: str
    reason: str | None
    comment: str
    revision: int | None
