"""What the service remembers about its own work."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from commontrace.storage.models.base import NOW, Base


class EmbeddingModel(Base):
    """A model that makes vectors of this database: the current one, and the next one while it is being re-encoded."""

    __tablename__ = "embedding_models"
    __table_args__ = (
        CheckConstraint("dimensions BETWEEN 1 AND 2000", name="dimensions"),
        Index("ix_embedding_models_current", "is_current", unique=True, postgresql_where=text("is_current")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    dimensions: Mapped[int] = mapped_column(primary_key=True)
    is_lexical: Mapped[bool]
    is_current: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class IdempotentRequest(Base):
    """A write that was asked for under an id, and its answer."""

    __tablename__ = "idempotent_requests"
    __table_args__ = (Index("ix_idempotent_requests_created_at", "created_at"),)

    caller_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    method: Mapped[str] = mapped_column(primary_key=True)
    request_id: Mapped[UUID] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    answer: Mapped[bytes | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class EncodingJob(Base):
    """A trace that waits for its vector. Whoever takes it moves `due_at` on: it is nobody's again then."""

    __tablename__ = "encoding_jobs"
    __table_args__ = (Index("ix_encoding_jobs_due_at", "due_at", postgresql_where=text("given_up_at IS NULL")),)

    trace_id: Mapped[UUID] = mapped_column(ForeignKey("traces.id"), primary_key=True)
    attempts: Mapped[int] = mapped_column(server_default="0")
    due_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_error: Mapped[str] = mapped_column(server_default="")
    given_up_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class TraceEvent(Base):
    """Something that happened to a trace, written in the transaction that made it happen; never changed."""

    __tablename__ = "trace_events"
    __table_args__ = (
        CheckConstraint(
            "event_type IN ('created', 'updated', 'validated', 'demoted', 'superseded', 'deleted', 'undeleted',"
            " 'purged')",
            name="event_type",
        ),
        Index("ix_trace_events_created_at", "created_at", postgresql_using="brin"),
    )

    sequence: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    trace_id: Mapped[UUID]
    event_type: Mapped[str]
    revision: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ImportItem(Base):
    """An item of an import that was stored, or was there already (`is_new` tells)."""

    __tablename__ = "import_items"
    __table_args__ = (Index("ix_import_items_created_at", "created_at", postgresql_using="brin"),)

    caller_id: Mapped[UUID] = mapped_column(primary_key=True)
    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    trace_id: Mapped[UUID]
    is_new: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class PurgedTrace(Base):
    """The id of a trace that was purged: no import brings it back."""

    __tablename__ = "purged_traces"

    trace_id: Mapped[UUID] = mapped_column(primary_key=True)
    purged_at: Mapped[datetime] = mapped_column(server_default=NOW)


class QuotaWindow(Base):
    """How much of a quota a user has used, in the latest window. `granted` is what the last lease took of it."""

    __tablename__ = "quota_windows"
    __table_args__ = (CheckConstraint("kind IN ('reads', 'writes', 'tag_names')", name="kind"),)

    email: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    used: Mapped[int] = mapped_column(BigInteger)
    granted: Mapped[int] = mapped_column(BigInteger)
