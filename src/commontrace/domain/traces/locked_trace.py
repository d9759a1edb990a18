"""What decisions about a trace depend on."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID


class LockedTrace(NamedTuple):
    """What decisions about a trace depend on. Nobody else changes it until the transaction ends."""

    id: UUID
    contributor_id: UUID
    status: str
    trust_score: float
    confirmation_count: int
    down_count: int
    revision: int
    is_seed: bool
    edit_number: int
    content_hash: bytes | None
    supersedes_id: UUID | None
    superseded_by_id: UUID | None
    deleted_at: datetime | None
    hidden_at: datetime | None
