"""A trace's row under a lock."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID


class LockedTrace(NamedTuple):
    """The fields that decisions depend on, locked against changes until the transaction ends."""

    id: UUID
    namespace_id: UUID
    contributor_id: UUID
    prior_contributor_ids: list[UUID]
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
