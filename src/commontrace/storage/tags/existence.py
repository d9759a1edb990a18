"""Existence of tags: for a caller, a tag exists if it is curated, or on a readable live trace (ADR 0061)."""

from typing import Any

from sqlalchemy import ColumnElement, exists, or_

from commontrace.storage.models import Tag, TraceSigns, TraceTag
from commontrace.storage.namespaces.readable import GRANTED_IDS


def exists_for_caller(tag: Any = Tag) -> ColumnElement[bool]:
    """Returns the condition on a tag. Where a caller is unlimited, it is left out: every tag exists."""
    on_readable = exists().where(
        TraceTag.tag_id == tag.id,
        TraceSigns.trace_id == TraceTag.trace_id,
        TraceSigns.is_live,
        TraceSigns.namespace_id == GRANTED_IDS,
    )
    return or_(tag.is_curated, on_readable.correlate(tag))
