"""Tables of the service's own records: models, idempotency keys, encoding queue, event log, imports, purges, quotas."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from commontrace.domain.namespaces.namespace import COMMONS_ID
from commontrace.storage.models.base import IN_COMMONS, NOW, Base


class EmbeddingModel(Base):
    """An embedding model: the current one, or the next one while the database is being re-encoded (ADR 0002, 0020)."""

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
    """An idempotency key and the stored answer of its request (ADR 0007)."""

    __tablename__ = "idempotent_requests"
    __table_args__ = (Index("ix_idempotent_requests_created_at", "created_at"),)

    caller_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    method: Mapped[str] = mapped_column(primary_key=True)
    request_id: Mapped[UUID] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    answer: Mapped[bytes | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    namespace_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default=f"{{{COMMONS_ID}}}")
    """The namespaces of what the answer shows: who may not read them any more does not get it again."""


class EncodingJob(Base):
    """A job of the encoding queue (ADR 0017). A lease moves `due_at` forward to its end.

    `has_vector` is true where the trace can be found already, and lacks its tokens alone: such jobs come last.
    """

    __tablename__ = "encoding_jobs"
    __table_args__ = (
        Index("ix_encoding_jobs_due_at", "has_vector", "due_at", postgresql_where=text("given_up_at IS NULL")),
    )

    trace_id: Mapped[UUID] = mapped_column(ForeignKey("traces.id"), primary_key=True)
    attempts: Mapped[int] = mapped_column(server_default="0")
    due_at: Mapped[datetime] = mapped_column(server_default=NOW)
    has_vector: Mapped[bool] = mapped_column(server_default="false")
    last_error: Mapped[str] = mapped_column(server_default="")
    given_up_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class TraceEvent(Base):
    """An event of the log, inserted in the transaction of the change that it reports; never updated (ADR 0019)."""

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
    created_at: Mapped[datetime] = mapped_column("occurred_at", key="created_at", server_default=NOW)
    namespace_id: Mapped[UUID] = mapped_column(server_default=IN_COMMONS)


class ImportItem(Base):
    """An imported item: stored as a new trace (`is_new`), or found to exist already (ADR 0018)."""

    __tablename__ = "import_items"
    __table_args__ = (Index("ix_import_items_created_at", "created_at", postgresql_using="brin"),)

    caller_id: Mapped[UUID] = mapped_column(primary_key=True)
    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    trace_id: Mapped[UUID]
    is_new: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    namespace_id: Mapped[UUID] = mapped_column(server_default=IN_COMMONS)


class PurgedTrace(Base):
    """The id of a purged trace: no import restores it (ADR 0031)."""

    __tablename__ = "purged_traces"

    trace_id: Mapped[UUID] = mapped_column(primary_key=True)
    purged_at: Mapped[datetime] = mapped_column(server_default=NOW)


class QuotaWindow(Base):
    """Use of a quota by a user in the latest window. `granted` is the size of the last lease (ADR 0029)."""

    __tablename__ = "quota_windows"
    __table_args__ = (CheckConstraint("kind IN ('reads', 'writes', 'tag_names')", name="kind"),)

    email: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    used: Mapped[int] = mapped_column(BigInteger)
    granted: Mapped[int] = mapped_column(BigInteger)
