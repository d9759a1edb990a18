"""Table of votes."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from commontrace.storage.models.base import Base, Timestamps


class Vote(Timestamps, Base):
    """A user's current vote on one revision of a trace."""

    __tablename__ = "votes"
    __table_args__ = (
        UniqueConstraint("trace_id", "voter_id"),
        CheckConstraint("vote_type IN ('up', 'down')", name="vote_type"),
        CheckConstraint("revision >= 1", name="revision"),
        CheckConstraint(
            "(vote_type = 'down') = (reason IS NOT NULL)"
            " AND (reason IS NULL OR reason IN ('outdated', 'incorrect', 'harmful', 'duplicate', 'spam'))",
            name="reason",
        ),
        Index("ix_votes_voter_id", "voter_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(
        "first_cast_at", key="created_at", server_default=text("statement_timestamp()")
    )
    """By the statement's time: the transaction may have begun before another vote and waited for it."""
    trace_id: Mapped[UUID] = mapped_column(ForeignKey("traces.id"))
    voter_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    vote_type: Mapped[str]
    revision: Mapped[int]
    reason: Mapped[str | None]
    comment: Mapped[str] = mapped_column(server_default="")
