"""Traces: rows as readers see them, and inserts."""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, Self
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, LargeBinary, Select, Uuid, any_, bindparam, literal, select
from sqlalchemy.orm import aliased

from commontrace.domain.errors import TraceNotFound
from commontrace.domain.namespaces.access import ReadableNamespaces
from commontrace.domain.traces.trace_filter import ResolvedFilter, everything_in
from commontrace.embeddings.embedder import Vector
from commontrace.storage.executor import Executor
from commontrace.storage.models import Trace
from commontrace.storage.namespaces.names import namespace_name_of
from commontrace.storage.namespaces.readable import GRANTED_IDS, READABLE_IDS
from commontrace.storage.search import filter_sql
from commontrace.storage.tags.tag_names import tag_names_of
from commontrace.storage.transaction import Transaction


class TraceRow(NamedTuple):
    """A trace as readers see it, with its tag names in alphabetical order."""

    id: UUID
    title: str
    context_text: str
    solution_text: str
    tags: list[str]
    status: str
    trust_score: float
    confirmation_count: int
    revision: int
    contributor_id: UUID
    agent_model: str
    agent_version: str
    metadata_json: dict[str, Any]
    is_seed: bool
    created_at: datetime
    updated_at: datetime
    down_count: int
    edit_number: int
    deleted_at: datetime | None
    supersedes_id: UUID | None
    superseded_by_id: UUID | None
    hide_reason: str
    is_encoded: bool
    namespace_id: UUID
    namespace: str
    """The name of its namespace."""
    promoted_from_id: UUID | None
    """The trace that it is a copy of, if that is live and the reader may read it."""

    @classmethod
    def of(cls, columns: Iterable[Any]) -> Self:
        """Returns a row of `row_columns` with its tags in order."""
        row = cls._make(columns)
        row.tags.sort()
        return row


# Built once: building a statement costs more than running it.
_WITH_CONTENT = select(Trace.id).where(
    Trace.content_hash == bindparam("content_hash", type_=LargeBinary),
    Trace.namespace_id == bindparam("of_namespace", type_=Uuid),
    Trace.deleted_at.is_(None),
)
_IN_NAMESPACES = Trace.namespace_id == READABLE_IDS
_LIVE_ID = select(Trace.id).where(
    Trace.id == bindparam("of_trace", type_=Uuid), Trace.deleted_at.is_(None), _IN_NAMESPACES
)
_NAMESPACE_OF = select(Trace.namespace_id).where(Trace.id == bindparam("of_trace", type_=Uuid))
_SUPERSEDES_ID = select(Trace.supersedes_id).where(Trace.id == bindparam("of_trace", type_=Uuid), _IN_NAMESPACES)
_EMBEDDING = select(Trace.embedding).where(
    Trace.id == bindparam("of_trace", type_=Uuid), Trace.deleted_at.is_(None), _IN_NAMESPACES
)


class TraceReader:
    """Read side of the traces in the namespaces that a caller may read.

    Deleted traces are left out unless a method says otherwise.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def get_id_by_content(self, content_hash: bytes, namespace_id: UUID) -> UUID | None:
        """Returns the id of the live trace of a namespace with this stored hash, or None.

        Further ones would be duplicates of it.
        """
        parameters = {"content_hash": content_hash, "of_namespace": namespace_id}
        return (await self._executor.execute(_WITH_CONTENT, parameters)).scalar_one_or_none()

    async def get(self, trace_id: UUID, namespaces: ReadableNamespaces, *, full: bool = True) -> TraceRow | None:
        """Returns a trace, or None. Without `full`, context and solution are not read and are ''."""
        rows = await self.get_many([trace_id], everything_in(namespaces), full=full)
        return rows.get(trace_id)

    async def require(self, trace_id: UUID, namespaces: ReadableNamespaces) -> None:
        """Raises TraceNotFound unless the trace exists."""
        parameters = {"of_trace": trace_id, "namespace_ids": namespaces.ids}
        if (await self._executor.execute(_LIVE_ID, parameters)).one_or_none() is None:
            raise TraceNotFound(trace_id)

    async def get_existing_ids(self, trace_ids: Iterable[UUID]) -> set[UUID]:
        """Returns those of the ids that traces have, in any namespace, deleted ones too."""
        taken = select(Trace.id).where(Trace.id == _ANY_OF_THEM)
        return set((await self._executor.execute(taken, {"trace_ids": list(trace_ids)})).scalars())

    async def list_seeds(self) -> list[TraceRow]:
        """Returns the seed traces, which came with the service, deleted ones too."""
        rows = await self._executor.execute(_select_rows(full=True).where(Trace.is_seed), {"granted_ids": ()})
        return [TraceRow.of(row) for row in rows]

    async def get_many(
        self,
        trace_ids: Iterable[UUID],
        trace_filter: ResolvedFilter,
        *,
        full: bool,
        owner_id: UUID | None = None,
    ) -> dict[UUID, TraceRow]:
        """Returns the traces by id that exist and pass the filter.

        With `owner_id`, the traces of one user, deleted ones too.
        """
        query = _rows_of_them(filter_sql.kinds_of(trace_filter), full=full, of_owner=owner_id is not None)
        parameters = {"trace_ids": list(trace_ids), **filter_sql.parameters(trace_filter)}
        if owner_id is not None:
            parameters["owner_id"] = owner_id
        rows = await self._executor.execute(query, parameters)
        return {row.id: TraceRow.of(row) for row in rows}

    async def get_including_deleted(self, trace_id: UUID, namespaces: ReadableNamespaces) -> TraceRow:
        """Returns an existing trace, deleted or not, without context and solution."""
        query = _select_rows(full=False).where(Trace.id == trace_id, _IN_NAMESPACES)
        parameters = {"namespace_ids": namespaces.ids, "granted_ids": namespaces.granted_ids}
        [row] = await self._executor.execute(query, parameters)
        return TraceRow.of(row)

    async def get_namespace_id(self, trace_id: UUID, namespaces: ReadableNamespaces) -> UUID:
        """Returns the namespace of a trace, deleted or not. Raises TraceNotFound."""
        query = select(Trace.namespace_id).where(Trace.id == trace_id, _IN_NAMESPACES)
        found = (await self._executor.execute(query, {"namespace_ids": namespaces.ids})).scalar_one_or_none()
        if found is None:
            raise TraceNotFound(trace_id)
        return found

    async def get_supersedes_id(self, trace_id: UUID, namespaces: ReadableNamespaces) -> UUID | None:
        """Returns the id of the trace that the trace supersedes, or None. Deleted traces count."""
        parameters = {"of_trace": trace_id, "namespace_ids": namespaces.ids}
        return (await self._executor.execute(_SUPERSEDES_ID, parameters)).scalar_one_or_none()

    async def get_embedding(self, trace_id: UUID, namespaces: ReadableNamespaces) -> Vector | None:
        """Returns the trace's vector, None if the trace does not exist or is not encoded yet."""
        parameters = {"of_trace": trace_id, "namespace_ids": namespaces.ids}
        return (await self._executor.execute(_EMBEDDING, parameters)).scalar_one_or_none()


class TraceRepository(TraceReader):
    """Traces of one unit of work. `shown_namespace_ids` are the namespaces of all that its answer may show."""

    def __init__(self, transaction: Transaction, shown_namespace_ids: set[UUID]) -> None:
        super().__init__(transaction)
        self._shown_namespace_ids = shown_namespace_ids

    async def get_for_answer(self, trace_id: UUID, namespaces: ReadableNamespaces) -> TraceRow | None:
        """Returns a trace that the answer shows, with the id of its source, or None."""
        trace = await self.get(trace_id, namespaces)
        return None if trace is None else await self._shown(trace)

    async def get_including_deleted(self, trace_id: UUID, namespaces: ReadableNamespaces) -> TraceRow:
        """Returns an existing trace that the answer shows, deleted or not, without context and solution."""
        return await self._shown(await super().get_including_deleted(trace_id, namespaces))

    async def _shown(self, trace: TraceRow) -> TraceRow:
        self._shown_namespace_ids.add(trace.namespace_id)
        if trace.promoted_from_id is not None:
            # One that the caller may read, or it would not be shown. Copies are rare, so others pay nothing.
            of_source = await self._executor.execute(_NAMESPACE_OF, {"of_trace": trace.promoted_from_id})
            self._shown_namespace_ids.update(of_source.scalars())
        return trace


_COMPUTED = ("tags", "is_encoded", "namespace", "promoted_from_id")
_SOURCE = aliased(Trace)
_SHOWN_SOURCE = (
    select(_SOURCE.id)
    .where(
        _SOURCE.id == Trace.promoted_from_id,
        _SOURCE.deleted_at.is_(None),
        _SOURCE.namespace_id == GRANTED_IDS,
    )
    .correlate_except(_SOURCE)
    .scalar_subquery()
)


def row_columns(*, full: bool) -> list[ColumnElement[Any]]:
    """Returns the columns of `TraceRow.of`; without `full`, context and solution are ''.

    Their parameter `granted_ids` are the namespaces that the reader may read.
    """
    columns: dict[str, ColumnElement[Any]] = {
        name: Trace.__table__.c[name] for name in TraceRow._fields if name not in _COMPUTED
    }
    columns["is_encoded"] = Trace.embedding_model_id.is_not(None)
    columns["tags"] = tag_names_of(Trace.id)
    columns["namespace"] = namespace_name_of(Trace.namespace_id)
    columns["promoted_from_id"] = _SHOWN_SOURCE
    if not full:
        columns["context_text"] = columns["solution_text"] = literal("")
    return [columns[name].label(name) for name in TraceRow._fields]


def _select_rows(*, full: bool) -> Select[Any]:
    return select(*row_columns(full=full))


# One array parameter instead of a list: the statement text stays the same, and so does the prepared statement.
_ANY_OF_THEM = any_(bindparam("trace_ids", type_=ARRAY(Uuid)))


# Built once: building a statement costs more than running it.
@lru_cache(maxsize=256)
def _rows_of_them(kinds: filter_sql.Kinds, *, full: bool, of_owner: bool) -> Select[Any]:
    whose = Trace.contributor_id == bindparam("owner_id", type_=Uuid) if of_owner else Trace.deleted_at.is_(None)
    return _select_rows(full=full).where(Trace.id == _ANY_OF_THEM, whose, *filter_sql.conditions(kinds))
