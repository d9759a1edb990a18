"""Imports: look-ups of existing traces, bulk inserts by COPY, and the log of imported items (ADR 0018)."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CursorResult,
    LargeBinary,
    Uuid,
    any_,
    bindparam,
    case,
    delete,
    func,
    select,
    tuple_,
    update,
)

from commontrace.domain.events.event_types import CREATED, SUPERSEDED
from commontrace.domain.imports.decisions import Imported, KnownTrace, Recorded
from commontrace.domain.traces.content_hash import content_hash, hash_in_namespace
from commontrace.domain.traces.contribution import PENDING, TEXTS
from commontrace.embeddings.local.text_reading import keeps_tokens
from commontrace.embeddings.model import Model
from commontrace.storage.imports.reader import ImportReader
from commontrace.storage.models import ImportItem, PurgedTrace, Trace
from commontrace.storage.transaction import Transaction

RETENTION = timedelta(days=30)

# Every row adds a vector to the HNSW graph. If the graph does not fit into memory, one COPY takes longer than the
# statement_timeout of calls, and other streams of the import wait for it.
_TIMEOUT_SECONDS = 30
_TIMEOUT = f"{_TIMEOUT_SECONDS}s"

_OF_IMPORT = (
    ImportItem.caller_id == bindparam("of_caller_id", type_=Uuid),
    ImportItem.import_id == bindparam("of_import_id", type_=Uuid),
)
# Built once: building a statement costs more than running it.
_LOCK = select(
    func.set_config("statement_timeout", _TIMEOUT, True),  # noqa: FBT003 - SQL's own
    func.set_config("lock_timeout", _TIMEOUT, True),  # noqa: FBT003 - SQL's own
    # A plan that was kept since the table was empty reads all of it for each of a thousand items.
    func.set_config("plan_cache_mode", "force_custom_plan", True),  # noqa: FBT003 - SQL's own
    func.pg_advisory_xact_lock(bindparam("key", type_=BigInteger)),
    func.now(),
)
_RECORDED = select(ImportItem.sequence, ImportItem.trace_id, ImportItem.is_new, ImportItem.namespace_id).where(
    *_OF_IMPORT, ImportItem.sequence == any_(bindparam("sequences", type_=ARRAY(BigInteger)))
)
_WITH_CONTENTS = select(Trace.content_hash, Trace.id).where(
    Trace.content_hash == any_(bindparam("hashes", type_=ARRAY(LargeBinary))), Trace.deleted_at.is_(None)
)
# Texts are read only for traces without a content hash.
_EXISTING = select(
    Trace.id,
    Trace.deleted_at.is_(None).label("is_live"),
    Trace.namespace_id,
    Trace.content_hash,
    *(
        case((Trace.content_hash.is_(None), column))
        for column in (Trace.title, Trace.context_text, Trace.solution_text)
    ),
).where(Trace.id == any_(bindparam("trace_ids", type_=ARRAY(Uuid))))
_PURGED = select(PurgedTrace.trace_id).where(PurgedTrace.trace_id == any_(bindparam("trace_ids", type_=ARRAY(Uuid))))
_PAIRS = (
    func.unnest(bindparam("replaced_ids", type_=ARRAY(Uuid)), bindparam("successor_ids", type_=ARRAY(Uuid)))
    .table_valued("replaced_id", "successor_id", name="pairs")
    .render_derived()
)
_MARK_SUPERSEDED = (
    update(Trace.__table__)
    .where(Trace.id == _PAIRS.c.replaced_id)
    .values(superseded_by_id=_PAIRS.c.successor_id)
    .returning(Trace.id, Trace.revision, Trace.namespace_id)
)

_TRACE_COLUMNS = (
    *("id", "title", "context_text", "solution_text", "embedding", "embedding_model_id", "embedding_model_version"),
    *("status", "contributor_id", "agent_model", "agent_version", "metadata_json", "content_hash"),
    *("created_at", "updated_at", "supersedes_id", "superseded_by_id", "namespace_id"),
)
_ITEM_COLUMNS = ("caller_id", "import_id", "sequence", "trace_id", "is_new", "namespace_id")
# By position: its last column has another name until namespaces are enabled (ADR 0061).
_REVISION_COLUMNS = None


class ImportRepository(ImportReader):
    """Imports in one unit of work. Rows are added by COPY, in its transaction."""

    _executor: Transaction

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)
        self.has_added = False
        """True if there are events to notify of and, perhaps, traces to encode."""

    async def lock(self, import_id: UUID, caller_id: UUID) -> datetime:
        """Blocks other streams of the import until the transaction ends, and returns when the transaction began.

        A separate statement: only later statements see what the previous stream has stored.
        """
        key = int.from_bytes(sha256(caller_id.bytes + import_id.bytes).digest()[:8], signed=True)
        row = (await self._executor.execute(_LOCK, {"key": key})).one()
        return cast("datetime", row[-1])

    async def get_recorded(self, import_id: UUID, caller_id: UUID, sequences: Sequence[int]) -> dict[int, Recorded]:
        """Returns the recorded results of items, by sequence. Items that were not stored are left out."""
        rows = await self._executor.execute(_RECORDED, {"sequences": sequences, **_parameters(import_id, caller_id)})
        return {
            row.sequence: Recorded(trace_id=row.trace_id, is_new=row.is_new, namespace_id=row.namespace_id)
            for row in rows
        }

    async def get_ids_by_content(self, hashes: Sequence[bytes]) -> dict[bytes, UUID]:
        """Returns the ids of live traces by stored hash, which tells their namespace, too.

        Further traces with these contents would be duplicates.
        """
        if not hashes:
            return {}
        rows = await self._executor.execute(_WITH_CONTENTS, {"hashes": hashes})
        return {row[0]: row[1] for row in rows if row[0] is not None}

    async def get_existing(self, trace_ids: Collection[UUID]) -> dict[UUID, KnownTrace]:
        """Returns the traces that exist in any namespace, deleted ones too, by id: an id is taken, whoever reads it."""
        if not trace_ids:
            return {}
        rows = await self._executor.execute(_EXISTING, {"trace_ids": list(trace_ids)})
        return {
            trace_id: KnownTrace(
                trace_id, (hashed or hash_in_namespace(content_hash(*texts), namespace_id)) if is_live else None
            )
            for trace_id, is_live, namespace_id, hashed, *texts in rows
        }

    async def get_purged_ids(self, trace_ids: Collection[UUID]) -> set[UUID]:
        """Returns those of the ids that belonged to purged traces."""
        if not trace_ids:
            return set()
        return set((await self._executor.execute(_PURGED, {"trace_ids": list(trace_ids)})).scalars())

    async def add_traces(self, traces: Iterable[Imported], contributor_id: UUID, model: Model) -> None:
        """Adds traces with their first revisions, events and encoding jobs.

        Raises ConcurrentChange if another trace has the content or the id.
        """
        # In one order everywhere: two transactions that add the same contents wait instead of deadlocking.
        traces = sorted(traces, key=lambda trace: (trace.content_hash or b"", trace.id))
        if not traces:
            return
        rows = (_trace_row(trace, contributor_id, model) for trace in traces)
        await self._copy("traces", _TRACE_COLUMNS, rows)
        changed = list(TEXTS)
        revisions = (
            (trace.id, 1, text.title, text.context, text.solution, changed, contributor_id, trace.created_at)
            for trace in traces
            for text in (trace.item.contribution,)
        )
        await self._copy("trace_revisions", _REVISION_COLUMNS, revisions)
        # A vector comes without the tokens that some models keep beside it.
        waiting = [
            (trace.id, trace.item.vector is not None)
            for trace in traces
            if trace.item.vector is None or keeps_tokens(model)
        ]
        if waiting:
            await self._copy("encoding_jobs", ("trace_id", "has_vector"), waiting)
        events = [(trace.id, CREATED, 1, trace.item.namespace_id) for trace in traces]
        events += [
            (trace.id, SUPERSEDED, 1, trace.item.namespace_id) for trace in traces if trace.superseded_by_id is not None
        ]
        await self._add_events(events)

    async def mark_superseded(self, successors: Mapping[UUID, UUID]) -> None:
        """Marks locked traces as superseded, each by an added trace; `successors` is by superseded id."""
        if not successors:
            return
        pairs = {"replaced_ids": list(successors), "successor_ids": list(successors.values())}
        rows = await self._executor.execute(_MARK_SUPERSEDED, pairs)
        await self._add_events([(row.id, SUPERSEDED, row.revision, row.namespace_id) for row in rows])

    async def add_tags(self, tags: Iterable[tuple[UUID, Iterable[UUID]]]) -> None:
        """Adds tags to new traces."""
        pairs = [(trace_id, tag_id) for trace_id, tag_ids in tags for tag_id in tag_ids]
        if pairs:
            await self._copy("trace_tags", ("trace_id", "tag_id"), pairs)

    async def save_items(self, import_id: UUID, caller_id: UUID, items: Mapping[int, Recorded]) -> None:
        """Records the results of items, by sequence."""
        rows = [
            (caller_id, import_id, sequence, item.trace_id, item.is_new, item.namespace_id)
            for sequence, item in items.items()
        ]
        if rows:
            await self._copy("import_items", _ITEM_COLUMNS, rows)

    async def delete_expired(self, limit: int) -> int:
        """Deletes the records of up to `limit` items older than 30 days; returns how many."""
        key = (ImportItem.caller_id, ImportItem.import_id, ImportItem.sequence)
        oldest = select(*key).where(ImportItem.created_at < func.now() - RETENTION).limit(limit)
        result = await self._executor.execute(delete(ImportItem).where(tuple_(*key).in_(oldest)))
        return cast("CursorResult[None]", result).rowcount

    async def _add_events(self, events: Sequence[tuple[UUID, str, int, UUID]]) -> None:
        await self._copy("trace_events", ("trace_id", "event_type", "revision", "namespace_id"), events)
        self.has_added = True

    async def _copy(self, table: str, columns: Sequence[str] | None, rows: Iterable[tuple[Any, ...]]) -> None:
        await self._executor.copy(table, columns, rows, seconds=_TIMEOUT_SECONDS)


def _trace_row(trace: Imported, contributor_id: UUID, model: Model) -> tuple[Any, ...]:
    item, text = trace.item, trace.item.contribution
    made_by = (None, None) if item.vector is None else (model.model_id, model.model_version)
    return (
        trace.id,
        text.title,
        text.context,
        text.solution,
        item.vector,
        *made_by,
        PENDING,
        contributor_id,
        text.agent_model,
        text.agent_version,
        json.dumps(text.metadata) if text.metadata else "{}",
        trace.content_hash,
        trace.created_at,
        trace.created_at,
        trace.supersedes_id,
        trace.superseded_by_id,
        item.namespace_id,
    )


def _parameters(import_id: UUID, caller_id: UUID) -> dict[str, UUID]:
    return {"of_import_id": import_id, "of_caller_id": caller_id}
