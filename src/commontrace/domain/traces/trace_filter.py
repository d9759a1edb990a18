"""Trace filters: conditions on the traces of a search, list or export."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from commontrace.domain.namespaces.access import ReadableNamespaces


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceFilter:
    """Conditions that all must hold; empty and None are no condition. Tags are canonical names."""

    tags_all: tuple[str, ...] = ()
    tags_any: tuple[str, ...] = ()
    tags_none: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    agent_models: tuple[str, ...] = ()
    contributor_ids: tuple[UUID, ...] = ()
    created_from: datetime | None = None
    created_before: datetime | None = None
    metadata: Mapping[str, Any] | None = None
    include_superseded: bool = False
    namespaces: tuple[str, ...] = ()
    """Names; none stands for all that the caller may read."""

    @property
    def passes_all(self) -> bool:
        """True if every trace in the namespaces passes, or every one that is not superseded."""
        # The usual filter is told by its identity: comparing costs more than anything else in a search's filter.
        return self is UNFILTERED or self == TraceFilter(
            include_superseded=self.include_superseded, namespaces=self.namespaces
        )


UNFILTERED = TraceFilter()
"""The filter that every trace passes which is not superseded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedFilter:
    """A filter within the namespaces that it reads, with the ids of its tags by name (ADR 0038, 0061).

    `unknown_tags` are the names that no tag has, in alphabetical order.
    """

    trace_filter: TraceFilter
    namespaces: ReadableNamespaces
    tag_ids: Mapping[str, UUID] = field(default_factory=dict)
    unknown_tags: tuple[str, ...] = ()

    @property
    def passes_all(self) -> bool:
        """True if every trace of the database passes, or every one that is not superseded."""
        return self.namespaces.is_all and self.trace_filter.passes_all

    @property
    def matches_nothing(self) -> bool:
        """True if no trace can pass, because of tags that do not exist, or without any namespace."""
        wanted, known = self.trace_filter, self.tag_ids.keys()
        return (
            not self.namespaces.ids
            or (bool(wanted.tags_all) and not known >= set(wanted.tags_all))
            or (bool(wanted.tags_any) and known.isdisjoint(wanted.tags_any))
        )


def everything_in(namespaces: ReadableNamespaces) -> ResolvedFilter:
    """Returns the filter that every trace in the namespaces passes, superseded ones too."""
    return ResolvedFilter(trace_filter=TraceFilter(include_superseded=True), namespaces=namespaces)
