"""Filters as SQL conditions. The set of fields that a filter sets is the key by which statements are cached."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Integer,
    String,
    Uuid,
    any_,
    bindparam,
    exists,
    func,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.storage.models import Trace, TraceSigns, TraceTag
from commontrace.storage.namespaces.readable import READABLE_IDS

Kinds = frozenset[str]
"""Names of the conditions that a filter sets."""

NAMESPACES, SINGLE_NAMESPACE, ALL_NAMESPACES = "namespaces", "single_namespace", "all_namespaces"
"""The same condition, one of which every filter has. With the last, every trace is expected to pass it."""

# A list of one value is compared as a value: for an array whose length it does not know, the planner expects ten
# values, and reads half of the table where a twentieth passes.
_SINGLE = "single_"
_LISTS = {
    "statuses": ("status", String),
    "agent_models": ("agent_model", String),
    "contributor_ids": ("contributor_id", Uuid),
}

_TAGS_ALL = bindparam("tags_all", type_=ARRAY(Uuid))
_TAGS_ANY = bindparam("tags_any", type_=ARRAY(Uuid))
_TAGS_NONE = bindparam("tags_none", type_=ARRAY(Uuid))


def _has_tag_of(tag_ids: ColumnElement[Any]) -> ColumnElement[bool]:
    return exists().where(TraceTag.trace_id == Trace.id, TraceTag.tag_id == any_(tag_ids))


def _one_of(column: ColumnElement[Any], parameter: str, kind: Any) -> ColumnElement[bool]:
    return column == any_(bindparam(parameter, type_=ARRAY(kind)))


def _on_columns(columns: Any) -> dict[str, ColumnElement[bool]]:
    """Returns the conditions on columns that `traces` and `trace_signs` both have."""
    return {
        **{name: _one_of(getattr(columns, column), name, kind) for name, (column, kind) in _LISTS.items()},
        **{
            _SINGLE + name: getattr(columns, column) == bindparam(_SINGLE + name, type_=kind)
            for name, (column, kind) in _LISTS.items()
        },
        "created_from": columns.created_at >= bindparam("created_from", type_=DateTime(timezone=True)),
        "created_before": columns.created_at < bindparam("created_before", type_=DateTime(timezone=True)),
        NAMESPACES: columns.namespace_id == READABLE_IDS,
        SINGLE_NAMESPACE: columns.namespace_id == bindparam(SINGLE_NAMESPACE, type_=Uuid),
        # IS TRUE keeps the planner from reading the index of namespaces: every row passes.
        ALL_NAMESPACES: (columns.namespace_id == READABLE_IDS).is_(true()),
    }


_NO_CONDITIONS = frozenset(("tags_all_count",))
_METADATA = Trace.metadata_json.contains(bindparam("metadata", type_=JSONB))

_ON_TRACES: dict[str, ColumnElement[bool]] = {
    **_on_columns(Trace.__table__.c),
    "tags_all": select(func.count())
    .select_from(TraceTag)
    .where(TraceTag.trace_id == Trace.id, TraceTag.tag_id == any_(_TAGS_ALL))
    .scalar_subquery()
    == bindparam("tags_all_count", type_=Integer),
    "tags_any": _has_tag_of(_TAGS_ANY),
    "tags_none": ~_has_tag_of(_TAGS_NONE),
    "metadata": _METADATA,
    "current_only": Trace.superseded_by_id.is_(None),
}


def conditions(kinds: Kinds) -> list[ColumnElement[bool]]:
    """Returns the conditions on `traces`, in the same order for the same kinds."""
    return [_ON_TRACES[kind] for kind in sorted(kinds)]


def conditions_on_signs(kinds: Kinds, signs: Any = TraceSigns) -> list[ColumnElement[bool]]:
    """Returns the same conditions on `trace_signs`, or on an alias of it."""
    conditions_by_kind: dict[str, ColumnElement[bool]] = {
        **_on_columns(signs),
        "tags_all": signs.tag_ids.contains(_TAGS_ALL),
        "tags_any": signs.tag_ids.overlap(_TAGS_ANY),
        "tags_none": ~signs.tag_ids.overlap(_TAGS_NONE),
        # Metadata are too large for this narrow table.
        "metadata": exists().where(Trace.id == signs.trace_id, _METADATA),
        "current_only": signs.is_current,
    }
    return [conditions_by_kind[kind] for kind in sorted(kinds)]


def parameters(resolved: ResolvedFilter) -> dict[str, Any]:
    """Returns the parameters of the conditions that the filter sets, and of what its rows show (`row_columns`)."""
    namespaces = resolved.namespaces
    values = {} if resolved.trace_filter.passes_all else _set_values(resolved)
    if len(namespaces.ids) == 1:
        values[SINGLE_NAMESPACE] = namespaces.ids[0]
    return values | {"namespace_ids": namespaces.ids, "granted_ids": namespaces.granted_ids}


def _set_values(resolved: ResolvedFilter) -> dict[str, Any]:
    trace_filter = resolved.trace_filter
    values: dict[str, Any] = {
        "tags_any": _ids(trace_filter.tags_any, resolved),
        "tags_none": _ids(trace_filter.tags_none, resolved),
        "statuses": list(trace_filter.statuses),
        "agent_models": list(trace_filter.agent_models),
        "contributor_ids": list(trace_filter.contributor_ids),
        "created_from": trace_filter.created_from,
        "created_before": trace_filter.created_before,
        "metadata": dict(trace_filter.metadata or {}),
    }
    values = {name: value for name, value in values.items() if value}
    if trace_filter.tags_all:
        ids = _ids(trace_filter.tags_all, resolved)
        values |= {"tags_all": ids, "tags_all_count": len(ids)}
    for name in _LISTS.keys() & values.keys():
        if len(values[name]) == 1:
            [values[_SINGLE + name]] = values.pop(name)
    return values


def kinds_of(resolved: ResolvedFilter) -> Kinds:
    """Returns which conditions the filter sets."""
    trace_filter, namespaces = resolved.trace_filter, resolved.namespaces
    if namespaces.is_all:
        of_namespaces = ALL_NAMESPACES
    else:
        of_namespaces = SINGLE_NAMESPACE if len(namespaces.ids) == 1 else NAMESPACES
    conditions_set = () if trace_filter.passes_all else _set_values(resolved).keys() - _NO_CONDITIONS
    current_only = () if trace_filter.include_superseded else ("current_only",)
    return frozenset((*conditions_set, *current_only, of_namespaces))


def passes_nearly_all(kinds: Kinds) -> bool:
    """Returns whether a filter of these kinds keeps out no more than superseded traces."""
    return kinds <= {"current_only", ALL_NAMESPACES}


def _ids(names: Iterable[str], resolved: ResolvedFilter) -> list[UUID]:
    # Two names may be aliases of the same tag.
    return sorted({resolved.tag_ids[name] for name in names if name in resolved.tag_ids})
