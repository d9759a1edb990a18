"""The tables. The migrations make them; a test compares both."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, BIT, JSONB, BitString
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from commontrace.embeddings.embedder import Vector
from commontrace.storage.vector_type import VectorType

NOW = text("now()")

VECTOR_INDEX_NAME = "ix_traces_embedding_hnsw"
VECTOR_INDEX = Index(
    VECTOR_INDEX_NAME,
    "embedding",
    postgresql_using="hnsw",
    postgresql_with={"m": 16, "ef_construction": 64},
    postgresql_ops={"embedding": "vector_cosine_ops"},
)
"""What approximate searches go by."""


WORDS = "words_of(title, context_text, solution_text)"
"""The words of a trace, as `ix_traces_words` holds them. A migration makes the function."""


class Base(AsyncAttrs, DeclarativeBase):
    """Gives every table the same types and every constraint a name that errors can be told by."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    if TYPE_CHECKING:
        # More than SQLAlchemy promises: no model is mapped to anything else here.
        __table__: ClassVar[Table]
    type_annotation_map = {datetime: DateTime(timezone=True), dict[str, Any]: JSONB, str: String}  # noqa: RUF012 - SQLAlchemy's name


class Timestamps:
    """When a row was made and when it last changed."""

    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class User(Timestamps, Base):
    """Who contributes and votes."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str] = mapped_column(server_default="")
    reputation_score: Mapped[float] = mapped_column(server_default="0")
    is_seed: Mapped[bool] = mapped_column(server_default="false")


class ApiKey(Base):
    """What a user calls with."""

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
    """The SHA-256 of the key, which is stored nowhere."""
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class Trace(Timestamps, Base):
    """A solved problem.

    No index covers a column that votes change: an update of an indexed column inserts the row's vector into the HNSW
    graph again. The storage options keep long text out of line and leave room in the page: votes are HOT updates.
    """

    __tablename__ = "traces"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'validated')", name="status"),
        CheckConstraint("confirmation_count >= 0 AND down_count >= 0", name="counts"),
        CheckConstraint("revision >= 1", name="revision"),
        # A zero vector has no direction: the cosine index would never return it. Stored vectors have unit length.
        CheckConstraint("vector_norm(embedding) BETWEEN 0.999 AND 1.001", name="embedding_norm"),
        CheckConstraint(
            "(embedding IS NULL) = (embedding_model_id IS NULL)"
            " AND (embedding IS NULL) = (embedding_model_version IS NULL)",
            name="embedding_model",
        ),
        Index("ix_traces_status", "status"),
        Index("ix_traces_contributor_id", "contributor_id"),
        Index("ix_traces_created_at", "created_at"),
        Index("ix_traces_content_hash", "content_hash", unique=True, postgresql_where=text("deleted_at IS NULL")),
        Index("ix_traces_supersedes_id", "supersedes_id", unique=True, postgresql_where=text("deleted_at IS NULL")),
        VECTOR_INDEX,
        Index("ix_traces_words", text(WORDS), postgresql_using="gin", postgresql_with={"gin_pending_list_limit": 256}),
        {"postgresql_with": {"fillfactor": 80, "toast_tuple_target": 256}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    title: Mapped[str]
    context_text: Mapped[str]
    solution_text: Mapped[str]
    embedding: Mapped[Vector | None] = mapped_column(VectorType())
    embedding_model_id: Mapped[str | None]
    embedding_model_version: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default="pending")
    trust_score: Mapped[float] = mapped_column(server_default="0")
    confirmation_count: Mapped[int] = mapped_column(server_default="0")
    down_count: Mapped[int] = mapped_column(server_default="0")
    revision: Mapped[int] = mapped_column(server_default="1")
    contributor_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    agent_model: Mapped[str] = mapped_column(server_default="")
    agent_version: Mapped[str] = mapped_column(server_default="")
    metadata_json: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    is_seed: Mapped[bool] = mapped_column(server_default="false")
    deleted_at: Mapped[datetime | None]
    content_hash: Mapped[bytes | None]
    """None for a trace that was contributed although duplicates may exist."""
    edit_number: Mapped[int] = mapped_column(server_default="1")
    """Counts the owner's edits; the etag."""
    supersedes_id: Mapped[UUID | None] = mapped_column(ForeignKey("traces.id"))
    superseded_by_id: Mapped[UUID | None] = mapped_column(ForeignKey("traces.id"))
    """The live trace that replaces this one."""
    hidden_at: Mapped[datetime | None]
    """When a moderator hid it. Hidden traces are deleted, too; what hiding deleted has both times alike."""
    hide_reason: Mapped[str] = mapped_column(server_default="")


class TraceRevision(Base):
    """A version of a trace's text; never changed."""

    __tablename__ = "trace_revisions"

    trace_id: Mapped[UUID] = mapped_column(ForeignKey("traces.id"), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    context_text: Mapped[str]
    solution_text: Mapped[str]
    changed_fields: Mapped[list[str]] = mapped_column(ARRAY(String))
    editor_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


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
    trace_id: Mapped[UUID] = mapped_column(ForeignKey("traces.id"))
    voter_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    vote_type: Mapped[str]
    revision: Mapped[int]
    reason: Mapped[str | None]
    comment: Mapped[str] = mapped_column(server_default="")


class Tag(Timestamps, Base):
    """A canonical tag name. The unique index `ix_tags_name` is both the constraint and the look-up."""

    __tablename__ = "tags"
    __table_args__ = (Index("ix_tags_name", "name", unique=True),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    is_curated: Mapped[bool] = mapped_column(server_default="false")
    description: Mapped[str] = mapped_column(server_default="")


class TagAlias(Base):
    """A name that stands for a tag; never the name of a tag itself."""

    __tablename__ = "tag_aliases"
    __table_args__ = (Index("ix_tag_aliases_tag_id", "tag_id"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    tag_id: Mapped[UUID] = mapped_column(ForeignKey("tags.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class TraceTag(Base):
    """Which trace carries which tag; the second index answers tag -> traces."""

    __tablename__ = "trace_tags"
    __table_args__ = (Index("ix_trace_tags_tag_id_trace_id", "tag_id", "trace_id"),)

    trace_id: Mapped[UUID] = mapped_column(ForeignKey("traces.id"), primary_key=True)
    tag_id: Mapped[UUID] = mapped_column(ForeignKey("tags.id"), primary_key=True)


class TraceSigns(Base):
    """What filtered searches read of a trace, deleted or not: small rows, many in a page. Triggers keep it true."""

    __tablename__ = "trace_signs"
    __table_args__ = (
        *(Index(f"ix_trace_signs_{name}", name) for name in ("status", "contributor_id", "agent_model", "created_at")),
        Index("ix_trace_signs_tag_ids", "tag_ids", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
    )

    trace_id: Mapped[UUID] = mapped_column(ForeignKey("traces.id", ondelete="CASCADE"), primary_key=True)
    signs: Mapped[BitString | None] = mapped_column(BIT(varying=True))
    """A bit for each component of the embedding: whether it is positive."""
    status: Mapped[str]
    contributor_id: Mapped[UUID]
    agent_model: Mapped[str]
    created_at: Mapped[datetime]
    is_live: Mapped[bool]
    is_current: Mapped[bool]
    """Whether no live trace replaces it."""
    tag_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))


DROP_SIGNS_TRIGGER = "DROP TRIGGER signs_of_embedding ON traces"
CREATE_SIGNS_TRIGGER = (
    "CREATE TRIGGER signs_of_embedding AFTER UPDATE OF embedding ON traces FOR EACH ROW EXECUTE FUNCTION follow_trace()"
)
"""Whoever gives the column `embedding` another type, or another column its name, drops the trigger before."""


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


class QuotaWindow(Base):
    """How much of a quota a user has used, in the latest window. `granted` is what the last lease took of it."""

    __tablename__ = "quota_windows"
    __table_args__ = (CheckConstraint("kind IN ('reads', 'writes')", name="kind"),)

    email: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    used: Mapped[int] = mapped_column(BigInteger)
    granted: Mapped[int] = mapped_column(BigInteger)
