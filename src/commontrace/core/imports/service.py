"""Imports: messages of items, each stored in one transaction and remembered by item (ADR 0018)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from uuid import UUID

from commontrace.core.concurrent_changes import pause_after
from commontrace.core.tags.name_quota import TagNameQuota
from commontrace.core.traces.preconditions import require_namespace
from commontrace.domain.errors import (
    CommonTraceError,
    ConcurrentChange,
    ModelReplaced,
    NamespaceForbidden,
    NamespaceNotFound,
    NamespaceRequired,
    QuotaExceeded,
)
from commontrace.domain.imports.decisions import Item, Outcome, Recorded, StoredState, decide
from commontrace.domain.namespaces.access import Grant, NamespaceAccess
from commontrace.domain.tags.allowance import Allowance
from commontrace.domain.traces.contribution import OnDuplicate
from commontrace.embeddings.model import Model
from commontrace.fair_sharing.fair_limiter import FairLimiter
from commontrace.storage.database import Database
from commontrace.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredItems:
    """Outcomes of items by sequence, and the highest sequence of their import so far."""

    outcomes: Mapping[int, Outcome]
    last_sequence: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportProgress:
    """Progress of an import: its highest sequence, the items it created and those that existed already."""

    last_sequence: int
    created: int
    existing: int


async def get_progress(import_id: UUID, email: str, database: Database) -> ImportProgress:
    """Returns the progress of a user's import; zeros for one that has not begun."""
    last_sequence = await database.read(lambda reading: reading.imports.get_last_sequence(import_id, email))
    created, existing = await database.read(lambda reading: reading.imports.count_items(import_id, email))
    return ImportProgress(last_sequence=last_sequence, created=created, existing=existing)


async def store_items(
    items: Sequence[Item],
    *,
    import_id: UUID,
    email: str,
    namespace: str,
    resolve_access: Callable[[], Awaitable[NamespaceAccess]],
    model: Model,
    tag_names: TagNameQuota,
    database: Database,
    limiter: FairLimiter,
) -> StoredItems:
    """Stores the items that are not recorded yet in one transaction; returns the outcome of every item.

    `namespace` is the name of the one that all are stored in; '' leaves each in that of its record.

    `items` are in the order of their sequences, and not empty. Each attempt takes a slot of `limiter`; a message that
    loses to concurrent writes is tried 20 times (ADR 0018). Raises ModelReplaced if the database has another model than
    the vectors by now, Overloaded after the last attempt, QuotaExceeded.
    """
    for attempt in count(1):
        try:
            async with limiter.hold():
                # After the wait, which may be long: access is never older than a few seconds.
                access = await resolve_access()
                async with database.unit_of_work() as work:
                    stored = await _store(items, import_id, email, namespace, access, model, tag_names, work)
                    await tag_names.spend(email, work)
                    return stored
        except ModelReplaced:
            raise
        except (ConcurrentChange, QuotaExceeded) as error:
            # A concurrent write stored the same content, took an id, or used up the quota of tag names.
            await asyncio.sleep(pause_after(attempt, error))
    raise AssertionError  # pragma: no cover - count never ends


async def _store(
    items: Sequence[Item],
    import_id: UUID,
    email: str,
    namespace: str,
    access: NamespaceAccess,
    model: Model,
    tag_names: TagNameQuota,
    work: UnitOfWork,
) -> StoredItems:
    caller_id = await work.users.get_or_create(email)
    now = await work.imports.lock(import_id, caller_id)
    recorded = await work.imports.get_recorded(import_id, caller_id, [item.sequence for item in items])
    unrecorded = [item for item in items if item.sequence not in recorded]
    new, refused = await _place(unrecorded, namespace, access, work)
    last_sequence = await work.imports.get_last_sequence(import_id, email)
    shown = await _shown(recorded, access, work)
    if not new:
        return StoredItems(outcomes={**shown, **refused}, last_sequence=last_sequence)
    allowance = await tag_names.allowance(email, (name for item in new for name in item.tags), work)
    decisions = decide(new, await _stored_state(new, allowance, access, work), caller_id=caller_id, now=now)
    await work.imports.add_traces(decisions.traces, caller_id, model)
    # After the first insert, which keeps the model from being replaced until the transaction ends (ADR 0020).
    if any(trace.item.vector is not None for trace in decisions.traces):
        await work.embedding_models.require(model)
    # Before the locks of superseded traces: a merge of tags that this waits for may wait for those.
    tags = await work.tags.get_or_create({tag for trace in decisions.traces for tag in trace.item.tags})
    await work.imports.mark_superseded(decisions.successors)
    await work.imports.add_tags((trace.id, {tags[name] for name in trace.item.tags}) for trace in decisions.traces)
    stored = {sequence: one for sequence, one in decisions.outcomes.items() if isinstance(one, Recorded)}
    await work.imports.save_items(import_id, caller_id, stored)
    return StoredItems(
        outcomes={**shown, **refused, **decisions.outcomes},
        last_sequence=max((last_sequence, *stored)),
    )


async def _place(
    items: Iterable[Item], namespace: str, access: NamespaceAccess, work: UnitOfWork
) -> tuple[list[Item], dict[int, CommonTraceError]]:
    """Returns the items with their namespaces, and the errors of those that the caller may not write there.

    The namespaces are kept from being deleted until the transaction ends.
    """
    placed, refused = [], dict[int, CommonTraceError]()
    targets: dict[str, Grant | CommonTraceError] = {}
    # In one order everywhere: two transactions that hold the same namespaces wait instead of deadlocking.
    for name in sorted({namespace or item.namespace for item in items}):
        try:
            target = access.require_target(name)
            await require_namespace(target, work)
            targets[name] = target
        except (NamespaceNotFound, NamespaceForbidden, NamespaceRequired) as error:
            targets[name] = error
    for item in items:
        found = targets[namespace or item.namespace]
        if isinstance(found, Grant):
            placed.append(replace(item, namespace_id=found.id))
        else:
            refused[item.sequence] = found
    return placed, refused


async def _shown(recorded: Mapping[int, Recorded], access: NamespaceAccess, work: UnitOfWork) -> dict[int, Outcome]:
    """Returns recorded outcomes, without those in namespaces that the caller may no longer read."""
    shown: dict[int, Outcome] = {}
    for sequence, outcome in recorded.items():
        shown[sequence] = outcome
        if outcome.namespace_id not in access.roles:
            [name] = await work.namespaces.list_names([outcome.namespace_id])
            shown[sequence] = NamespaceNotFound(name)
    return shown


async def _stored_state(
    items: Iterable[Item], tag_names: Allowance | None, access: NamespaceAccess, work: UnitOfWork
) -> StoredState:
    contents = [item.stored_hash for item in items if item.on_duplicate is not OnDuplicate.ALLOW]
    replaced = {item.supersedes_id for item in items if item.supersedes_id is not None}
    wanted = {item.trace_id for item in items if item.trace_id is not None}
    locked = await work.trace_changes.lock(replaced, access.readable) if replaced else {}
    return StoredState(
        contents=await work.imports.get_ids_by_content(contents),
        known=await work.imports.get_existing(wanted | locked.keys()),
        # After the query of known traces, so that a trace purged in between is in one of the two.
        purged=await work.imports.get_purged_ids(wanted),
        locked=locked,
        tag_names=tag_names,
    )
