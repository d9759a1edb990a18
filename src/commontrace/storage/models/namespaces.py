"""Tables of namespaces, of the names that are never given again, and of members (ADR 0061)."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from commontrace.storage.models.base import NOW, Base


class Namespace(Base):
    """A namespace, where traces live. Its id and name never change."""

    __tablename__ = "namespaces"
    __table_args__ = (CheckConstraint("visibility IN ('private', 'readable', 'open')", name="visibility"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str] = mapped_column(server_default="")
    visibility: Mapped[str]
    edit_number: Mapped[int] = mapped_column(server_default="1")
    """Counts the changes: the etag."""
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class RetiredNamespace(Base):
    """The name of a deleted namespace: no other gets it."""

    __tablename__ = "retired_namespaces"

    name: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[UUID]
    retired_at: Mapped[datetime] = mapped_column(server_default=NOW)


class NamespaceMember(Base):
    """A user's role in a namespace."""

    __tablename__ = "namespace_members"
    __table_args__ = (
        CheckConstraint("role IN ('reader', 'writer', 'moderator', 'owner')", name="role"),
        Index("ix_namespace_members_user_id", "user_id"),
    )

    namespace_id: Mapped[UUID] = mapped_column(ForeignKey("namespaces.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    role: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
