"""Tables of traces, their revisions, and the narrow tables of filtered and keyword searches."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, BIT, TSVECTOR, BitString
from sqlalchemy.orm import Mapped, mapped_column

from commontrace.embeddings.embedder import Vector
from commontrace.storage.models import vector_index
from commontrace.storage.models.base import IN_COMMONS, NOW, Base, Timestamps
from commontrace.storage.vector_type import VectorType


class Trace(Timestamps, Base):
    """A trace: a solved problem.

    No index mentions a column that votes change, such as the status, not even in its predicate: such an update would
    insert the row's vector into the HNSW graph again (ADR 0048). Lists and searches by status use `TraceSigns`. The
    storage options keep long text out of line and leave room in the page, so that votes are HOT updates.
    """

    __tablename__ = "traces"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'validated')", name="status"),
        CheckConstraint("confirmation_count >= 0 AND down_count >= 0", name="counts"),
        CheckConstraint("revision >= 1", name="revision"),
        # Stored vectors have unit length. A zero vector has no direction: the cosine index would never return it.
        CheckConstraint("vector_norm(embedding) BETWEEN 0.999 AND 1.001", name="embedding_norm"),
        CheckConstraint(
            "(embedding IS NULL) = (embedding_model_id IS NULL)"
            " AND (embedding IS NULL) = (embedding_model_version IS NULL)",
            name="embedding_model",
        ),
        Index("ix_traces_contributor_id", "contributor_id"),
        Index("ix_traces_created_at", "created_at"),
        Index("ix_traces_content_hash", "content_hash", unique=True, postgresql_where=text("deleted_at IS NULL")),
        Index("ix_traces_supersedes_id", "supersedes_id", unique=True, postgresql_where=text("deleted_at IS NULL")),
        Index("ix_traces_promoted_from_id", "promoted_from_id", postgresql_where=text("promoted_from_id IS NOT NULL")),
        # Without the dimensions, which are the database's: `vector_index` makes the statements that create it.
        Index(vector_index.VECTOR_INDEX_NAME, text("(embedding::halfvec)"), postgresql_using=vector_index.METHOD),
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
    """None for a trace that was contributed with duplicates allowed (ADR 0008)."""
    edit_number: Mapped[int] = mapped_column(server_default="1")
    """Counts the owner's edits: the etag."""
    supersedes_id: Mapped[UUID | None] = mapped_column(ForeignKey("traces.id"))
    superseded_by_id: Mapped[UUID | None] = mapped_column(ForeignKey("traces.id"))
    """The live trace that supersedes this one."""
    hidden_at: Mapped[datetime | None] = mapped_column("hiding_time", key="hidden_at")
    """When a moderator hid the trace. Hidden traces are deleted, too; if hiding deleted one, both times are equal."""
    hide_reason: Mapped[str] = mapped_column("hiding_reason", key="hide_reason", server_default="")
    namespace_id: Mapped[UUID] = mapped_column(ForeignKey("namespaces.id"), server_default=IN_COMMONS)
    """Never changes."""
    promoted_from_id: Mapped[UUID | None] = mapped_column(ForeignKey("traces.id"))
    """The trace of another namespace that it is a copy of."""
    prior_contributor_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default="{}")
    """The contributors of what it is a copy of: to them it is their own."""


class TraceRevision(Base):
    """A revision of a trace's text; never updated."""

    __tablename__ = "trace_revisions"

    trace_id: Mapped[UUID] = mapped_column(ForeignKey("traces.id"), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    context_text: Mapped[str]
    solution_text: Mapped[str]
    changed_fields: Mapped[list[str]] = mapped_column(ARRAY(String))
    editor_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column("current_since", key="created_at", server_default=NOW)


_INDEXED = ("status", "contributor_id", "agent_model", "created_at", "namespace_id")


class TraceSigns(Base):
    """Narrow copy of a trace, deleted or not, for filtered searches (ADR 0023). Triggers maintain it."""

    __tablename__ = "trace_signs"
    __table_args__ = (
        *(Index(f"ix_trace_signs_{name}", name) for name in _INDEXED),
        Index("ix_trace_signs_tag_ids", "tag_ids", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
    )

    trace_id: Mapped[UUID] = mapped_column(ForeignKey("traces.id", ondelete="CASCADE"), primary_key=True)
    signs: Mapped[BitString | None] = mapped_column(BIT(varying=True))
    """Binary quantization of the embedding: a bit for each component, set if it is positive."""
    status: Mapped[str]
    contributor_id: Mapped[UUID]
    agent_model: Mapped[str]
    created_at: Mapped[datetime]
    is_live: Mapped[bool]
    is_current: Mapped[bool]
    """True unless a live trace supersedes the trace."""
    tag_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    namespace_id: Mapped[UUID] = mapped_column(server_default=IN_COMMONS)


class TraceWords(Base):
    """The words of a trace, deleted or not, without positions, for keyword searches (ADR 0025). Triggers maintain it.

    ANALYZE counts the words: its statistics show which are common.
    """

    __tablename__ = "trace_words"
    __table_args__ = (
        Index("ix_trace_words_words", "words", postgresql_using="gin", postgresql_with={"gin_pending_list_limit": 256}),
    )

    trace_id: Mapped[UUID] = mapped_column(ForeignKey("traces.id", ondelete="CASCADE"), primary_key=True)
    words: Mapped[str] = mapped_column(TSVECTOR)


class TraceTokens(Base):
    """Signs of the vectors of a trace's tokens, by model version (ADR 0058).

    Written with the vector, and valid while `revision` is the trace's: a change of its text outdates them by itself.
    """

    __tablename__ = "trace_tokens"

    trace_id: Mapped[UUID] = mapped_column(ForeignKey("traces.id", ondelete="CASCADE"), primary_key=True)
    model_version: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int]
    signs: Mapped[bytes]


DROP_SIGNS_TRIGGER = "DROP TRIGGER signs_of_embedding ON traces"
CREATE_SIGNS_TRIGGER = (
    "CREATE TRIGGER signs_of_embedding AFTER UPDATE OF embedding ON traces FOR EACH ROW EXECUTE FUNCTION follow_trace()"
)
"""The trigger must be dropped before the column `embedding` changes its type, or another column gets its name."""
