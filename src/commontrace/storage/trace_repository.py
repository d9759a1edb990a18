"""Traces: adding them and reading them back."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Select, Uuid, any_, bindparam, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from commontrace.core.traces import NewTrace
from commontrace.embeddings.embedder import Vector
from commontrace.storage.models import Tag, Trace, TraceTag


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


class TraceRepository:
    """The traces. Deleted ones are invisible here unless a method says otherwise."""

    def __init__(self, session: AsyncSession | AsyncConnection) -> None:
        """Takes where to ask; only a session can add."""
        self._session = session

    async def add(self, trace: NewTrace) -> None:
        """Inserts a trace, without its tags. Raises InvalidStoredVector."""
        session = cast("AsyncSession", self._session)
        session.add(
            Trace(
                id=trace.id,
                title=trace.title,
                context_text=trace.context,
                solution_text=trace.solution,
                embedding=trace.embedding,
                embedding_model_id=trace.embedding_model_id,
                embedding_model_version=trace.embedding_model_version,
                status=trace.status,
                contributor_id=trace.contributor_id,
                agent_model=trace.agent_model,
                agent_version=trace.agent_version,
                metadata_json=dict(trace.metadata),
                is_seed=trace.is_seed,
            )
        )
        await session.flush()

    async def get(self, trace_id: UUID, *, full: bool = True) -> TraceRow | None:
        """Returns a trace, or None. Without `full`, context and solution stay in the database and read as ''."""
        rows = await self.get_many([trace_id], full=full)
        return rows.get(trace_id)

    async def known(self, trace_ids: Iterable[UUID]) -> set[UUID]:
        """Returns which of the ids are taken, by deleted traces too."""
        taken = select(Trace.id).where(Trace.id == _ANY_OF_THEM)
        return set((await self._session.execute(taken, {"trace_ids": list(trace_ids)})).scalars())

    async def seeds(self) -> list[TraceRow]:
        """Returns the traces that came with the service, deleted ones too."""
        rows = await self._session.execute(_select_rows(full=True).where(Trace.is_seed))
        return [TraceRow._make(row) for row in rows]

    async def get_many(self, trace_ids: Iterable[UUID], *, full: bool) -> dict[UUID, TraceRow]:
        """Returns those of the traces that exist, by id."""
        query = _FULL_ROWS if full else _BASIC_ROWS
        rows = await self._session.execute(query, {"trace_ids": list(trace_ids)})
        return {row.id: TraceRow._make(row) for row in rows}

    async def embedding_of(self, trace_id: UUID) -> Vector | None:
        """Returns the trace's vector, or None if there is no such trace."""
        query = select(Trace.embedding).where(Trace.id == trace_id, Trace.deleted_at.is_(None))
        return (await self._session.execute(query)).scalar_one_or_none()


def _select_rows(*, full: bool) -> Select[Any]:
    tags = select(Tag.name).join(TraceTag, TraceTag.tag_id == Tag.id).where(TraceTag.trace_id == Trace.id)
    columns: dict[str, ColumnElement[Any]] = {
        name: Trace.__table__.c[name] for name in TraceRow._fields if name != "tags"
    }
    columns["tags"] = func.array(tags.order_by(Tag.name).scalar_subquery())
    if not full:
        columns["context_text"] = columns["solution_text"] = literal("")
    return select(*(columns[name].label(name) for name in TraceRow._fields))


# One array parameter, not a list of parameters: the statement stays the same, and so stays prepared.
_ANY_OF_THEM = any_(bindparam("trace_ids", type_=ARRAY(Uuid)))
# Made once: putting a statement together costs more than running it.
_FULL_ROWS, _BASIC_ROWS = (
    _select_rows(full=full).where(Trace.id == _ANY_OF_THEM, Trace.deleted_at.is_(None)) for full in (True, False)
)
