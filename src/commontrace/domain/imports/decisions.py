"""Outcomes of imported items, decided in memory, one after the other (ADR 0018)."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

from commontrace.domain.errors import (
    AlreadySuperseded,
    CommonTraceError,
    DuplicateTrace,
    NotOwner,
    TraceIdTaken,
    TraceNotFound,
    TracePurged,
)
from commontrace.domain.namespaces.namespace import COMMONS_ID
from commontrace.domain.tags.allowance import Allowance
from commontrace.domain.traces.content_hash import hash_in_namespace
from commontrace.domain.traces.contribution import Contribution, OnDuplicate
from commontrace.domain.traces.locked_trace import LockedTrace
from commontrace.embeddings.embedder import Vector


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A trace to import. `tags` are canonical names, `vector` has shape (dimensions,) and unit length."""

    sequence: int
    contribution: Contribution
    tags: Sequence[str]
    content_hash: bytes
    on_duplicate: OnDuplicate
    trace_id: UUID | None = None
    created_at: datetime | None = None
    supersedes_id: UUID | None = None
    vector: Vector | None = None
    namespace: str = ""
    """The name of the namespace that its record names."""
    namespace_id: UUID = COMMONS_ID
    """The namespace that it is stored in."""

    @property
    def stored_hash(self) -> bytes:
        """What is stored of the content hash in its namespace."""
        return hash_in_namespace(self.content_hash, self.namespace_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """The trace that an item was stored as, or the existing one of the same content (`is_new` tells).

    `unlinked` is the reason why it does not supersede the trace that the item names; known only while it is stored.
    """

    trace_id: UUID
    is_new: bool
    namespace_id: UUID
    unlinked: CommonTraceError | None = None


Outcome = Recorded | CommonTraceError


@dataclass(kw_only=True, slots=True)
class Imported:
    """A trace about to be stored."""

    id: UUID
    item: Item
    created_at: datetime
    supersedes_id: UUID | None = None
    superseded_by_id: UUID | None = None

    @property
    def content_hash(self) -> bytes | None:
        """The stored hash that makes duplicates; None where they are allowed."""
        return None if self.item.on_duplicate is OnDuplicate.ALLOW else self.item.stored_hash


class KnownTrace(NamedTuple):
    """An existing trace. `live_content` is its stored hash, duplicates allowed or not; None if it is deleted."""

    id: UUID
    live_content: bytes | None


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredState:
    """Stored state that a message depends on: traces by stored hash and by id, locked ones, the quota of tag names."""

    contents: Mapping[bytes, UUID]
    known: Mapping[UUID, KnownTrace]
    purged: Collection[UUID]
    locked: Mapping[UUID, LockedTrace]
    tag_names: Allowance | None = None


@dataclass(kw_only=True, slots=True)
class Decisions:
    """Decisions about new items: outcomes by sequence, traces to store, and the traces that they supersede."""

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    traces: list[Imported] = field(default_factory=list)
    successors: dict[UUID, UUID] = field(default_factory=dict)
    """The superseding trace's id by the id of a trace that existed before."""


def decide(items: Iterable[Item], stored: StoredState, *, caller_id: UUID, now: datetime) -> Decisions:
    """Decides about items one after the other, as if each were a call of its own."""
    decisions = Decisions()
    contents = dict(stored.contents)
    new: dict[UUID, Imported] = {}
    for position, item in enumerate(items):
        outcome = _outcome_of_existing(item, contents, stored.known, stored.purged, new)
        if outcome is None and stored.tag_names is not None:
            outcome = stored.tag_names.take(item.tags)
        if outcome is None:
            trace_id = item.trace_id or uuid4()
            # Microseconds apart, so that successors sort after their predecessors in every list.
            created_at = item.created_at or now + timedelta(microseconds=position)
            trace = Imported(id=trace_id, item=item, created_at=created_at)
            unlinked = _link(trace, stored, new, decisions.successors, caller_id)
            outcome = Recorded(trace_id=trace_id, is_new=True, namespace_id=item.namespace_id, unlinked=unlinked)
            decisions.traces.append(trace)
            new[trace_id] = trace
            if trace.content_hash is not None:
                contents[trace.content_hash] = trace_id
        decisions.outcomes[item.sequence] = outcome
    return decisions


def _outcome_of_existing(
    item: Item,
    contents: Mapping[bytes, UUID],
    known: Mapping[UUID, KnownTrace],
    purged: Collection[UUID],
    new: Mapping[UUID, Imported],
) -> Outcome | None:
    """Returns the outcome of an item that is not to be stored; None if it is."""
    existing_id = None if item.on_duplicate is OnDuplicate.ALLOW else contents.get(item.stored_hash)
    if existing_id is None and item.trace_id is not None:
        existing, earlier = known.get(item.trace_id), new.get(item.trace_id)
        if existing is None and earlier is None:
            return TracePurged(item.trace_id) if item.trace_id in purged else None
        content = earlier.item.stored_hash if earlier is not None else existing.live_content if existing else None
        # Duplicates of it are allowed, so only its id tells that it is the same trace.
        if content != item.stored_hash:
            return TraceIdTaken(item.trace_id)
        existing_id = item.trace_id
    if existing_id is None:
        return None
    if item.on_duplicate is OnDuplicate.REJECT:
        return DuplicateTrace(existing_id)
    return Recorded(trace_id=existing_id, is_new=False, namespace_id=item.namespace_id)


def _link(
    trace: Imported,
    stored: StoredState,
    new: Mapping[UUID, Imported],
    successors: dict[UUID, UUID],
    caller_id: UUID,
) -> CommonTraceError | None:
    """Lets a trace supersede the one that it names; returns the error of a call where it cannot."""
    replaced_id, content = trace.item.supersedes_id, trace.item.stored_hash
    if replaced_id is None:
        return None
    earlier, locked = new.get(replaced_id), stored.locked.get(replaced_id)
    replaced_content: bytes | None
    if (earlier.item if earlier is not None else locked or trace.item).namespace_id != trace.item.namespace_id:
        return TraceNotFound(replaced_id)
    if earlier is not None:
        superseded_by_id, replaced_content = earlier.superseded_by_id, earlier.item.stored_hash
    elif locked is None or locked.deleted_at is not None:
        return TraceNotFound(replaced_id)
    elif locked.contributor_id != caller_id:
        return NotOwner(replaced_id)
    else:
        superseded_by_id = locked.superseded_by_id or successors.get(replaced_id)
        replaced_content = stored.known[replaced_id].live_content
    if superseded_by_id is not None:
        return AlreadySuperseded(replaced_id, superseded_by_id)
    if replaced_content == content:
        return DuplicateTrace(replaced_id)
    if earlier is not None:
        earlier.superseded_by_id = trace.id
    else:
        successors[replaced_id] = trace.id
    trace.supersedes_id = replaced_id
    return None
