"""A filter as conditions on the traces. Statements are made once for each combination of fields that are set."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, DateTime, Integer, String, Uuid, any_, bindparam, exists, func, select
from sqlalchemy.dialects.postgresql import JSONB

from commontrace.core.trace_filter import ResolvedFilter
from commontrace.storage.models import Trace, TraceTag

Kinds = frozenset[str]
"""The names of the conditions that a filter sets."""


def _has_tag_of(parameter: str) -> ColumnElement[bool]:
    ids = bindparam(parameter, type_=ARRAY(Uuid))
    return exists().where(TraceTag.trace_id == Trace.id, TraceTag.tag_id == any_(ids))


def _one_of(column: ColumnElement[Any], parameter: str, kind: Any) -> ColumnElement[bool]:
    return column == any_(bindparam(parameter, type_=ARRAY(kind)))


def _columns() -> Any:
    return Trace.__table__.c


_CONDITIONS: dict[str, ColumnElement[bool]] = {
    "tags_all": select(func.count())
    .select_from(TraceTag)
    .where(TraceTag.trace_id == Trace.id, TraceTag.tag_id == any_(bindparam("tags_all", type_=ARRAY(Uuid))))
    .scalar_subquery()
    == bindparam("tags_all_count", type_=Integer),
    "tags_any": _has_tag_of("tags_any"),
    "tags_none": ~_has_tag_of("tags_none"),
    "statuses": _one_of(_columns().status, "statuses", String),
    "agent_models": _one_of(_columns().agent_model, "agent_models", String),
    "contributor_ids": _one_of(_columns().contributor_id, "contributor_ids", Uuid),
    "created_from": Trace.created_at >= bindparam("created_from", type_=DateTime(timezone=True)),
    "created_before": Trace.created_at < bindparam("created_before", type_=DateTime(timezone=True)),
    "metadata": Trace.metadata_json.contains(bindparam("metadata", type_=JSONB)),
    "current_only": Trace.superseded_by_id.is_(None),
}


def conditions(kinds: Kinds) -> list[ColumnElement[bool]]:
    """Returns the conditions, in the same order for the same kinds."""
    return [_CONDITIONS[kind] for kind in sorted(kinds)]


def parameters(resolved: ResolvedFilter | None) -> dict[str, Any]:
    """Returns the parameters of the conditions that the filter sets; None sets none."""
    if resolved is None:
        return {}
    asked = resolved.asked
    given: dict[str, Any] = {
        "tags_any": _ids(asked.tags_any, resolved),
        "tags_none": _ids(asked.tags_none, resolved),
        "statuses": list(asked.statuses),
        "agent_models": list(asked.agent_models),
        "contributor_ids": list(asked.contributor_ids),
        "created_from": asked.created_from,
        "created_before": asked.created_before,
        "metadata": dict(asked.metadata or {}),
    }
    given = {name: value for name, value in given.items() if value}
    if asked.tags_all:
        ids = _ids(asked.tags_all, resolved)
        given |= {"tags_all": ids, "tags_all_count": len(ids)}
    return given


def kinds_of(resolved: ResolvedFilter | None) -> Kinds:
    """Returns which conditions the filter sets; None sets none."""
    if resolved is None:
        return frozenset()
    current_only = () if resolved.asked.include_superseded else ("current_only",)
    return frozenset((*parameters(resolved), *current_only)) - {"tags_all_count"}


def _ids(names: Iterable[str], resolved: ResolvedFilter) -> list[UUID]:
    # Two names may be aliases of one tag.
    return sorted({resolved.tag_ids[name] for name in names if name in resolved.tag_ids})
