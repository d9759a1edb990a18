"""Tables of tags, their aliases, and the tags of traces."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ForeignKey,
    Index,
)
from sqlalchemy.orm import Mapped, mapped_column

from commontrace.storage.models.base import NOW, Base, Timestamps


class Tag(Timestamps, Base):
    """A tag with its canonical name. The unique index `ix_tags_name` is both the constraint and the look-up."""

    __tablename__ = "tags"
    __table_args__ = (Index("ix_tags_name", "name", unique=True),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    is_curated: Mapped[bool] = mapped_column(server_default="false")
    description: Mapped[str] = mapped_column(server_default="")


class TagAlias(Base):
    """Another name of a tag; never the canonical name of a tag (ADR 0010).

    Rows are added by position: `alias` has another name until namespaces are enabled (ADR 0061).
    """

    __tablename__ = "tag_aliases"
    __table_args__ = (Index("ix_tag_aliases_tag_id", "tag_id"),)

    name: Mapped[str] = mapped_column("alias", key="name", primary_key=True)
    tag_id: Mapped[UUID] = mapped_column(ForeignKey("tags.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class TraceTag(Base):
    """A tag of a trace. The second index finds the traces of a tag."""

    __tablename__ = "trace_tags"
    __table_args__ = (Index("ix_trace_tags_tag_id_trace_id", "tag_id", "trace_id"),)

    trace_id: Mapped[UUID] = mapped_column(ForeignKey("traces.id"), primary_key=True)
    tag_id: Mapped[UUID] = mapped_column(ForeignKey("tags.id"), primary_key=True)
