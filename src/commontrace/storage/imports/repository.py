"""Imports: what is there already, many rows at once, and what is remembered of each item."""

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
    String,
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
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from commontrace.domain.events.event_types import CREATED, SUPERSEDED
from commontrace.domain.imports.decisions import Imported, KnownTrace, Recorded
from commontrace.domain.traces.content_hash import content_hash
from commontrace.domain.traces.contribution import PENDING, TEXTS
from commontrace.embeddings.model import Model
from commontrace.storage.models import ImportItem, PurgedTrace, Trace, User

KEPT = timedelta(days=30)

# For every row, a vector goes into the graph: where that does not fit into memory, one COPY takes longer than any other
# statement may, and other streams of the import wait for it.
_SECONDS = 30
_LIMIT = f"{_SECONDS}s"


_OF_IMPORT = (
    ImportItem.caller_id == bindparam("of_caller_id", type_=Uuid),
    ImportItem.import_id == bindparam("of_import_id", type_=Uuid),
)
# Made once: putting a statement together costs more than running it.
_BEGIN = select(
    func.set_config("statement_timeout", _LIMIT, True),  # noqa: FBT003 - SQL's own
    func.set_config("lock_timeout", _LIMIT, True),  # noqa: FBT003 - SQL's own
    func.pg_advisory_xact_lock(bindparam("key", type_=BigInteger)),
    func.now(),
)
_RECORDED = select(ImportItem.sequence, ImportItem.trace_id, ImportItem.is_new).where(
    *_OF_IMPORT, ImportItem.sequence == any_(bindparam("sequences", type_=ARRAY(BigInteger)))
)
# Not joined: the end of the primary key's index answers for the highest sequence.
_OF_USERS_IMPORT = (
    ImportItem.caller_id == select(User.id).where(User.email == bindparam("email", type_=String)).scalar_subquery(),
    ImportItem.import_id == bindparam("of_import_id", type_=Uuid),
)
_LAST = select(func.coalesce(func.max(ImportItem.sequence), 0)).where(*_OF_USERS_IMPORT)
_COUNTS = select(func.count().filter(ImportItem.is_new), func.count().filter(~ImportItem.is_new)).where(
    *_OF_USERS_IMPORT
)
_WITH_CONTENTS = select(Trace.content_hash, Trace.id).where(
    Trace.content_hash == any_(bindparam("hashes", type_=ARRAY(LargeBinary))), Trace.deleted_at.is_(None)
)
# Texts are read where nothing else tells the content.
_KNOWN = select(
    Trace.id,
    Trace.deleted_at.is_(None).label("is_live"),
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
_SUCCEED = (
    update(Trace.__table__)
    .where(Trace.id == _PAIRS.c.replaced_id)
    .values(superseded_by_id=_PAIRS.c.successor_id)
    .returning(Trace.id, Trace.revision)
)

_TRACE_COLUMNS = (
    *("id", "title", "context_text", "solution_text", "embedding", "embedding_model_id", "embedding_model_version"),
    *("status", "contributor_id", "agent_model", "agent_version", "metadata_json", "content_hash"),
    *("created_at", "updated_at", "supersedes_id", "superseded_by_id"),
)
_REVISION_COLUMNS = (
    *("trace_id", "revision", "title", "context_text", "solution_text", "changed_fields", "editor_id", "created_at"),
)


class ImportRepository:
    """Imports of users. What is added here goes through COPY, in the transaction of the unit of work."""

    def __init__(self, session: AsyncSession | AsyncConnection) -> None:
        """Takes where to ask; only a session can add."""
        self._session = session
        self.has_added = False
        """Whether there are events to announce and, perhaps, traces to encode."""

    async def begin(self, import_id: UUID, caller_id: UUID) -> datetime:
        """Makes other streams of the import wait until the transaction ends, and returns when it began.

        A statement of its own: only the next one sees what the stream before has stored.
        """
        key = int.from_bytes(sha256(caller_id.bytes + import_id.bytes).digest()[:8], signed=True)
        row = (await self._session.execute(_BEGIN, {"key": key})).one()
        return cast("datetime", row[-1])

    async def recorded(self, import_id: UUID, caller_id: UUID, sequences: Sequence[int]) -> dict[int, Recorded]:
        """Returns what became of those of the items that were stored before."""
        rows = await self._session.execute(_RECORDED, {"sequences": sequences, **_of(import_id, caller_id)})
        return {row.sequence: Recorded(trace_id=row.trace_id, is_new=row.is_new) for row in rows}

    async def last_sequence(self, import_id: UUID, email: str) -> int:
        """Returns the highest sequence of a user's import that was stored, 0 before the first."""
        return (await self._session.execute(_LAST, {"of_import_id": import_id, "email": email})).scalar_one()

    async def counts(self, import_id: UUID, email: str) -> tuple[int, int]:
        """Returns how many items of a user's import were stored, and how many were there already."""
        created, existing = (await self._session.execute(_COUNTS, {"of_import_id": import_id, "email": email})).one()
        return created, existing

    async def with_contents(self, hashes: Sequence[bytes]) -> dict[bytes, UUID]:
        """Returns the live traces that others of these contents are duplicates of."""
        if not hashes:
            return {}
        rows = await self._session.execute(_WITH_CONTENTS, {"hashes": hashes})
        return {row[0]: row[1] for row in rows if row[0] is not None}

    async def known(self, trace_ids: Collection[UUID]) -> dict[UUID, KnownTrace]:
        """Returns those of the traces that exist, deleted ones too."""
        if not trace_ids:
            return {}
        rows = await self._session.execute(_KNOWN, {"trace_ids": list(trace_ids)})
        return {row[0]: KnownTrace(row[0], (row[2] or content_hash(*row[3:])) if row[1] else None) for row in rows}

    async def purged(self, trace_ids: Collection[UUID]) -> set[UUID]:
        """Returns those of the ids whose traces were purged."""
        if not trace_ids:
            return set()
        return set((await self._session.execute(_PURGED, {"trace_ids": list(trace_ids)})).scalars())

    async def add_traces(self, traces: Iterable[Imported], contributor_id: UUID, model: Model) -> None:
        """Adds traces with their first revision and their event.

        Raises ConcurrentChange if a content or an id is taken.
        """
        # In one order for all: two who add the same contents wait for each other instead of deadlocking.
        traces = sorted(traces, key=lambda trace: (trace.content_hash or b"", trace.id))
        if not traces:
            return
        rows = (_trace_row(trace, contributor_id, model) for trace in traces)
        await self._copy("traces", _TRACE_COLUMNS, rows)
        changed = list(TEXTS)
        revisions = (
            (trace.id, 1, said.title, said.context, said.solution, changed, contributor_id, trace.created_at)
            for trace in traces
            for said in (trace.item.contribution,)
        )
        await self._copy("trace_revisions", _REVISION_COLUMNS, revisions)
        waiting = [(trace.id,) for trace in traces if trace.item.vector is None]
        if waiting:
            await self._copy("encoding_jobs", ("trace_id",), waiting)
        events = [(trace.id, CREATED, 1) for trace in traces]
        events += [(trace.id, SUPERSEDED, 1) for trace in traces if trace.superseded_by_id is not None]
        await self._add_events(events)

    async def succeed(self, successors: Mapping[UUID, UUID]) -> None:
        """Lets traces that are locked be replaced, each by the one that was added."""
        if not successors:
            return
        pairs = {"replaced_ids": list(successors), "successor_ids": list(successors.values())}
        rows = await self._session.execute(_SUCCEED, pairs)
        await self._add_events([(row.id, SUPERSEDED, row.revision) for row in rows])

    async def add_tags(self, tags: Iterable[tuple[UUID, Iterable[UUID]]]) -> None:
        """Gives new traces their tags."""
        pairs = [(trace_id, tag_id) for trace_id, tag_ids in tags for tag_id in tag_ids]
        if pairs:
            await self._copy("trace_tags", ("trace_id", "tag_id"), pairs)

    async def record(self, import_id: UUID, caller_id: UUID, items: Mapping[int, Recorded]) -> None:
        """Remembers what became of items, by sequence."""
        rows = [(caller_id, import_id, sequence, item.trace_id, item.is_new) for sequence, item in items.items()]
        if rows:
            await self._copy("import_items", ("caller_id", "import_id", "sequence", "trace_id", "is_new"), rows)

    async def forget_expired(self, most: int) -> int:
        """Forgets up to `most` items that were stored more than 30 days ago; returns how many."""
        key = (ImportItem.caller_id, ImportItem.import_id, ImportItem.sequence)
        oldest = select(*key).where(ImportItem.created_at < func.now() - KEPT).limit(most)
        dropped = await self._session.execute(delete(ImportItem).where(tuple_(*key).in_(oldest)))
        return cast("CursorResult[None]", dropped).rowcount

    async def _add_events(self, events: Sequence[tuple[UUID, str, int]]) -> None:
        await self._copy("trace_events", ("trace_id", "event_type", "revision"), events)
        self.has_added = True

    async def _copy(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        """Copies rows into a table through the driver itself: SQLAlchemy has no COPY.

        The transaction has begun: something was asked before.
        """
        assert isinstance(self._session, AsyncSession)  # noqa: S101 - only units of work add
        connection = await (await self._session.connection()).get_raw_connection()
        driver: Any = connection.driver_connection
        await driver.copy_records_to_table(table, columns=columns, records=rows, timeout=_SECONDS)


def _trace_row(trace: Imported, contributor_id: UUID, model: Model) -> tuple[Any, ...]:
    item, said = trace.item, trace.item.contribution
    made_by = (None, None) if item.vector is None else (model.model_id, model.model_version)
    return (
        trace.id,
        said.title,
        said.context,
        said.solution,
        item.vector,
        *made_by,
        PENDING,
        contributor_id,
        said.agent_model,
        said.agent_version,
        json.dumps(said.metadata) if said.metadata else "{}",
        trace.content_hash,
        trace.created_at,
        trace.created_at,
        trace.supersedes_id,
        trace.superseded_by_id,
    )


def _of(import_id: UUID, caller_id: UUID) -> dict[str, UUID]:
    return {"of_import_id": import_id, "of_caller_id": caller_id}
