"""Tables of users and API keys."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    String,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from commontrace.storage.models.base import NOW, Base, Timestamps


class User(Timestamps, Base):
    """A user, who contributes and votes."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str] = mapped_column(server_default="")
    reputation_score: Mapped[float] = mapped_column(server_default="0")
    is_seed: Mapped[bool] = mapped_column(server_default="false")


class ApiKey(Base):
    """An API key of a user (ADR 0027)."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("octet_length(digest) = 32", name="digest"),
        CheckConstraint("cardinality(scopes) > 0", name="scopes"),
        Index("ix_api_keys_user_id", "user_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    label: Mapped[str] = mapped_column(server_default="")
    digest: Mapped[bytes]
    """SHA-256 of the key. The key itself is not stored."""
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    namespaces: Mapped[list[str] | None] = mapped_column(ARRAY(String))
    """The names of the namespaces that the key is bound to; None for a key that is not bound."""
