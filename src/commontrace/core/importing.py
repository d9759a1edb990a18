"""What becomes of the items of an import."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from commontrace.core.contributing import OnDuplicate
from commontrace.core.errors import CommonTraceError, DuplicateTrace, ModelReplaced, Outrun, TraceIdTaken
from commontrace.core.traces import Contribution
from commontrace.embeddings.embedder import Model, Vector

if TYPE_CHECKING:
    from commontrace.storage.database import Database
    from commontrace.storage.import_repository import Known
    from commontrace.storage.trace_changes import LockedTrace
    from commontrace.storage.unit_of_work import UnitOfWork


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """The trace that an item was stored as, or the one of the same content that was there (`is_new` tells)."""

    trace_id: UUID
    is_new: bool


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
        """What duplicates share; None where they are allowed."""
        return None if self.item.on_duplicate is OnDuplicate.ALLOW else self.item.content_hash


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """What became of some items, by sequence, and how far their import has come."""

    outcomes: Mapping[int, Outcome]
    last_sequence: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What is stored already and bears on a message: by content, by id, and what is to be replaced, locked."""

    contents: Mapping[bytes, UUID]
    known: Mapping[UUID, "Known"]
    locked: Mapping[UUID, "LockedTrace"]


@dataclass(kw_only=True, slots=True)
class Decisions:
    """What becomes of new items: outcomes by sequence, traces to store, and which traces they replace."""

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    traces: list[Imported] = field(default_factory=list)
    successors: dict[UUID, UUID] = field(default_factory=dict)
    """By the id of a trace that was there before, the one that replaces it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far an import has come: its highest sequence, and how many items were stored and were there already."""

    last_sequence: int
    created: int
    existing: int


async def progress(import_id: UUID, email: str, database: "Database") -> Progress:
    """Returns how far a user's import has come."""
    last_sequence = await database.read(lambda reading: reading.imports.last_sequence(import_id, email))
    created, existing = await database.read(lambda reading: reading.imports.counts(import_id, email))
    return Progress(last_sequence=last_sequence, created=created, existing=existing)


async def store(items: Sequence[Item], *, import_id: UUID, email: str, model: Model, database: "Database") -> Stored:
    """Stores items in one transaction, those that were stored before excepted; returns what became of each.

    `items` are in the order of their sequences, and some. Raises ModelReplaced if the model of their vectors is the
    database's no more.
    """
    while True:
        try:
            async with database.unit_of_work() as work:
                return await _store(items, import_id, email, model, work)
        except ModelReplaced:
            raise
        except Outrun:
            # Somebody stored the same content, or took an id, since this looked.
            continue


async def _store(items: Sequence[Item], import_id: UUID, email: str, model: Model, work: "UnitOfWork") -> Stored:
    caller_id = await work.users.ensure(email)
    now = await work.imports.begin(import_id, caller_id)
    recorded = await work.imports.recorded(import_id, caller_id, [item.sequence for item in items])
    new = [item for item in items if item.sequence not in recorded]
    last_sequence = await work.imports.last_sequence(import_id, email)
    if not new:
        return Stored(outcomes=recorded, last_sequence=last_sequence)
    decisions = decide(new, await _surroundings(new, work), caller_id=caller_id, now=now)
    await work.imports.add_traces(decisions.traces, caller_id, model)
    # Behind the first of them, which keeps the model from being replaced until the transaction ends.
    if any(trace.item.vector is not None for trace in decisions.traces):
        await work.embedding_models.require(model)
    await work.imports.succeed(decisions.successors)
    tags = await work.tags.ensure({tag for trace in decisions.traces for tag in trace.item.tags})
    await work.imports.add_tags((trace.id, {tags[name] for name in trace.item.tags}) for trace in decisions.traces)
    stored = {sequence: one for sequence, one in decisions.outcomes.items() if isinstance(one, Recorded)}
    await work.imports.record(import_id, caller_id, stored)
    return Stored(
        outcomes={**recorded, **decisions.outcomes},
        last_sequence=max((last_sequence, *stored)),
    )


async def _surroundings(items: Iterable[Item], work: "UnitOfWork") -> Surroundings:
    contents = [item.content_hash for item in items if item.on_duplicate is not OnDuplicate.ALLOW]
    replaced = {item.supersedes_id for item in items if item.supersedes_id is not None}
    wanted = {item.trace_id for item in items if item.trace_id is not None}
    locked = await work.trace_changes.lock(replaced) if replaced else {}
    return Surroundings(
        contents=await work.imports.with_contents(contents),
        known=await work.imports.known(wanted | locked.keys()),
        locked=locked,
    )


def decide(items: Iterable[Item], there: Surroundings, *, caller_id: UUID, now: datetime) -> Decisions:
    """Decides about items one after the other, as calls of their own would have been decided about."""
    decisions = Decisions()
    contents = dict(there.contents)
    new: dict[UUID, Imported] = {}
    for position, item in enumerate(items):
        outcome = _there_already(item, contents, there.known, new)
        if outcome is None:
            trace_id = item.trace_id or uuid4()
            outcome = Recorded(trace_id=trace_id, is_new=True)
            # Successors stay behind their predecessors in every list.
            created_at = item.created_at or now + timedelta(microseconds=position)
            trace = Imported(id=trace_id, item=item, created_at=created_at)
            _link(trace, there, new, decisions.successors, caller_id)
            decisions.traces.append(trace)
            new[trace_id] = trace
            if trace.content_hash is not None:
                contents[trace.content_hash] = trace_id
        decisions.outcomes[item.sequence] = outcome
    return decisions


def _there_already(
    item: Item, contents: Mapping[bytes, UUID], known: Mapping[UUID, "Known"], new: Mapping[UUID, Imported]
) -> Outcome | None:
    """Returns what stands in an item's way, None if nothing does."""
    existing_id = None if item.on_duplicate is OnDuplicate.ALLOW else contents.get(item.content_hash)
    if existing_id is None and item.trace_id is not None:
        there, earlier = known.get(item.trace_id), new.get(item.trace_id)
        if there is None and earlier is None:
            return None
        content = earlier.item.content_hash if earlier is not None else there.live_content if there else None
        # The same trace, though its content alone would not say so: duplicates of it are allowed.
        if content != item.content_hash:
            return TraceIdTaken(item.trace_id)
        existing_id = item.trace_id
    if existing_id is None:
        return None
    if item.on_duplicate is OnDuplicate.REJECT:
        return DuplicateTrace(existing_id)
    return Recorded(trace_id=existing_id, is_new=False)


def _link(
    trace: Imported,
    there: Surroundings,
    new: Mapping[UUID, Imported],
    successors: dict[UUID, UUID],
    caller_id: UUID,
) -> None:
    """Lets a trace replace the one that it names, where that can be replaced."""
    replaced_id = trace.item.supersedes_id
    if replaced_id is None:
        return
    if (earlier := new.get(replaced_id)) is not None:
        if earlier.superseded_by_id is None and earlier.item.content_hash != trace.item.content_hash:
            earlier.superseded_by_id, trace.supersedes_id = trace.id, earlier.id
        return
    locked = there.locked.get(replaced_id)
    if (
        locked is not None
        and locked.deleted_at is None
        and locked.contributor_id == caller_id
        and locked.superseded_by_id is None
        and replaced_id not in successors
        and there.known[replaced_id].live_content != trace.item.content_hash
    ):
        successors[replaced_id] = trace.id
        trace.supersedes_id = replaced_id
