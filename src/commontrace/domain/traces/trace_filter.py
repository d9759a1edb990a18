"""Which traces a search or a list considers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceFilter:
    """What a trace must be like; whatever is empty or None asks for nothing. Tags are canonical names."""

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
        """Whether every trace passes, or every one that no other replaces."""
        return self == TraceFilter(include_superseded=self.include_superseded)


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedFilter:
    """A filter whose tags were looked up: their ids by name, and the names that no tag has, in alphabetical order."""

    trace_filter: TraceFilter
    tag_ids: Mapping[str, UUID]
    unknown_tags: tuple[str, ...] = ()

    @property
    def matches_nothing(self) -> bool:
        """Tells whether no trace can pass because of tags that do not exist."""
        asked, known = self.trace_filter, self.tag_ids.keys()
        return not known >= set(asked.tags_all) or (bool(asked.tags_any) and known.isdisjoint(asked.tags_any))
