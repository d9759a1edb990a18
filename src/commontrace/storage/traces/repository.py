"""Traces: adding them and reading them back."""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, Self
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, LargeBinary, Select, Uuid, any_, bindparam, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from commontrace.domain.errors import TraceNotFound
from commontrace.domain.traces.contribution import NewTrace
from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.embeddings.embedder import Vector
from commontrace.storage.models import EmbeddingModel, Trace
from commontrace.storage.search import filter_sql
from commontrace.storage.tags.of_traces import tag_names_of


class TraceRow(NamedTuple):
    """A trace with its tag names in alphabetical order, as readers see it."""

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

    @classmethod
    def of(cls, columns: Iterable[Any]) -> Self:
        """Returns the row of `row_columns`, whose tags come in no order."""
        row = cls._make(columns)
        row.tags.sort()
        return row


class ModelName(NamedTuple):
    """What tells an embedding model from others."""

    model_id: str
    model_version: str


# Made once: putting a statement together costs more than running it.
_ADD = (
    insert(Trace.__table__)
    .on_conflict_do_nothing(index_elements=[Trace.content_hash], index_where=Trace.deleted_at.is_(None))
    .returning(
        select(EmbeddingModel.id).where(EmbeddingModel.is_current).scalar_subquery().label("model_id"),
        select(EmbeddingModel.version).where(EmbeddingModel.is_current).scalar_subquery().label("model_version"),
    )
)
_WITH_CONTENT = select(Trace.id).where(
    Trace.content_hash == bindparam("content_hash", type_=LargeBinary), Trace.deleted_at.is_(None)
)


class TraceRepository:
    """The traces. Deleted ones are invisible here unless a method says otherwise."""

    def __init__(self, session: AsyncSession | AsyncConnection) -> None:
        """Takes where to ask; only a session can add."""
        self._session = session

    async def add(self, trace: NewTrace) -> ModelName | None:
        """Inserts a trace, without its tags, and returns the database's model, which stays until the transaction ends.

        None if a live trace has the same content. Raises InvalidStoredVector, ModelReplaced.
        """
        new = {
            "id": trace.id,
            "title": trace.title,
            "context_text": trace.context,
            "solution_text": trace.solution,
            "embedding": trace.embedding,
            "embedding_model_id": trace.embedding_model_id,
            "embedding_model_version": trace.embedding_model_version,
            "status": trace.status,
            "contributor_id": trace.contributor_id,
            "agent_model": trace.agent_model,
            "agent_version": trace.agent_version,
            "metadata_json": dict(trace.metadata),
            "is_seed": trace.is_seed,
            "content_hash": trace.content_hash,
            "supersedes_id": trace.supersedes_id,
        }
        row = (await self._session.execute(_ADD, new)).one_or_none()
        return None if row is None else ModelName._make(row)

    async def with_content(self, content_hash: bytes) -> UUID | None:
        """Returns the live trace that others of this content are duplicates of, or None."""
        return (await self._session.execute(_WITH_CONTENT, {"content_hash": content_hash})).scalar_one_or_none()

    async def get(self, trace_id: UUID, *, full: bool = True) -> TraceRow | None:
        """Returns a trace, or None. Without `full`, context and solution stay in the database and read as ''."""
        rows = await self.get_many([trace_id], full=full)
        return rows.get(trace_id)

    async def require(self, trace_id: UUID) -> None:
        """Raises TraceNotFound unless there is such a trace."""
        query = select(Trace.id).where(Trace.id == trace_id, Trace.deleted_at.is_(None))
        if (await self._session.execute(query)).one_or_none() is None:
            raise TraceNotFound(trace_id)

    async def known(self, trace_ids: Iterable[UUID]) -> set[UUID]:
        """Returns which of the ids are taken, by deleted traces too."""
        taken = select(Trace.id).where(Trace.id == _ANY_OF_THEM)
        return set((await self._session.execute(taken, {"trace_ids": list(trace_ids)})).scalars())

    async def seeds(self) -> list[TraceRow]:
        """Returns the traces that came with the service, deleted ones too."""
        rows = await self._session.execute(_select_rows(full=True).where(Trace.is_seed))
        return [TraceRow.of(row) for row in rows]

    async def get_many(
        self,
        trace_ids: Iterable[UUID],
        *,
        full: bool,
        trace_filter: ResolvedFilter | None = None,
        owner_id: UUID | None = None,
    ) -> dict[UUID, TraceRow]:
        """Returns those of the traces that exist, and pass the filter if there is one, by id.

        With `owner_id`, those of one user, deleted ones too.
        """
        query = _rows_of_them(filter_sql.kinds_of(trace_filter), full=full, of_owner=owner_id is not None)
        parameters = {"trace_ids": list(trace_ids), **filter_sql.parameters(trace_filter)}
        if owner_id is not None:
            parameters["owner_id"] = owner_id
        rows = await self._session.execute(query, parameters)
        return {row.id: TraceRow.of(row) for row in rows}

    async def get_even_deleted(self, trace_id: UUID) -> TraceRow:
        """Returns a trace that exists, deleted or not, without context and solution."""
        [row] = await self._session.execute(_select_rows(full=False).where(Trace.id == trace_id))
        return TraceRow.of(row)

    async def replaced_by(self, trace_id: UUID) -> UUID | None:
        """Returns which trace the trace replaces, or None; deleted ones count."""
        query = select(Trace.supersedes_id).where(Trace.id == trace_id)
        return (await self._session.execute(query)).scalar_one_or_none()

    async def embedding_of(self, trace_id: UUID) -> Vector | None:
        """Returns the trace's vector, or None if there is no such trace, or it has none yet."""
        query = select(Trace.embedding).where(Trace.id == trace_id, Trace.deleted_at.is_(None))
        return (await self._session.execute(query)).scalar_one_or_none()


def row_columns(*, full: bool) -> list[ColumnElement[Any]]:
    """Returns what `TraceRow.of` takes; without `full`, context and solution read as ''."""
    columns: dict[str, ColumnElement[Any]] = {
        name: Trace.__table__.c[name] for name in TraceRow._fields if name not in ("tags", "is_encoded")
    }
    columns["is_encoded"] = Trace.embedding_model_id.is_not(None)
    columns["tags"] = tag_names_of(Trace.id)
    if not full:
        columns["context_text"] = columns["solution_text"] = literal("")
    return [columns[name].label(name) for name in TraceRow._fields]


def _select_rows(*, full: bool) -> Select[Any]:
    return select(*row_columns(full=full))


# One array parameter, not a list of parameters: the statement stays the same, and so stays prepared.
_ANY_OF_THEM = any_(bindparam("trace_ids", type_=ARRAY(Uuid)))


# Made once: putting a statement together costs more than running it.
@lru_cache(maxsize=256)
def _rows_of_them(kinds: filter_sql.Kinds, *, full: bool, of_owner: bool) -> Select[Any]:
    whose = Trace.contributor_id == bindparam("owner_id", type_=Uuid) if of_owner else Trace.deleted_at.is_(None)
    return _select_rows(full=full).where(Trace.id == _ANY_OF_THEM, whose, *filter_sql.conditions(kinds))
