"""Trace filters: conditions on the traces of a search, list or export."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


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

    @property
    def passes_all(self) -> bool:
        """True if every trace passes, or every trace that is not superseded."""
        return self == TraceFilter(include_superseded=self.include_superseded)


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedFilter:
    """A filter with the ids of its tags by name, and the names that no tag has, in alphabetical order (ADR 0038)."""

    trace_filter: TraceFilter
    tag_ids: Mapping[str, UUID]
    unknown_tags: tuple[str, ...] = ()

    @property
    def matches_nothing(self) -> bool:
        """True if no trace can pass, because of tags that do not exist."""
        wanted, known = self.trace_filter, self.tag_ids.keys()
        return not known >= set(wanted.tags_all) or (bool(wanted.tags_any) and known.isdisjoint(wanted.tags_any))
