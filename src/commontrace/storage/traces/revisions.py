"""Revisions: the versions of a trace's text."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, exists, insert, literal, select

from commontrace.domain.namespaces.access import ReadableNamespaces
from commontrace.storage.executor import Executor
from commontrace.storage.models import Trace, TraceRevision
from commontrace.storage.namespaces.readable import READABLE_IDS
from commontrace.storage.transaction import Transaction
from commontrace.storage.users import display_name_of


class RevisionRow(NamedTuple):
    """A revision as readers see it."""

    revision: int
    title: str
    context_text: str
    solution_text: str
    changed_fields: list[str]
    editor_id: UUID
    created_at: datetime
    editor_name: str


_ADD = insert(TraceRevision.__table__)
_OF_READABLE = exists().where(
    Trace.id == TraceRevision.trace_id, Trace.deleted_at.is_(None), Trace.namespace_id == READABLE_IDS
)


class RevisionReader:
    """Read side of the revisions."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def list_numbers(
        self, trace_id: UUID, namespaces: ReadableNamespaces, *, before: int | None, size: int
    ) -> list[int]:
        """Returns the numbers of at most `size` revisions, newest first, those before `before` only."""
        query = select(TraceRevision.revision).where(TraceRevision.trace_id == trace_id, _OF_READABLE)
        if before is not None:
            query = query.where(TraceRevision.revision < before)
        page = query.order_by(TraceRevision.revision.desc()).limit(size)
        return list((await self._executor.execute(page, {"namespace_ids": namespaces.ids})).scalars())

    async def get_many(
        self, trace_id: UUID, revisions: Sequence[int], namespaces: ReadableNamespaces, *, full: bool
    ) -> dict[int, RevisionRow]:
        """Returns the revisions by number. Without `full`, context and solution read as ''."""
        kept = TraceRevision.__table__.c
        columns: dict[str, ColumnElement[Any]] = {name: kept[name] for name in RevisionRow._fields if name in kept}
        columns["editor_name"] = display_name_of("trace_revisions.editor_id")
        if not full:
            columns |= {"context_text": literal(""), "solution_text": literal("")}
        query = select(*columns.values()).where(
            TraceRevision.trace_id == trace_id, TraceRevision.revision.in_(revisions), _OF_READABLE
        )
        rows = await self._executor.execute(query, {"namespace_ids": namespaces.ids})
        return {row[0]: RevisionRow._make(row) for row in rows}


class RevisionRepository(RevisionReader):
    """Revisions in one unit of work: rows are added, never changed."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)

    async def add(
        self,
        trace_id: UUID,
        *,
        revision: int,
        title: str,
        context: str,
        solution: str,
        changed_fields: list[str],
        editor_id: UUID,
    ) -> None:
        """Adds a revision."""
        new = {
            "trace_id": trace_id,
            "revision": revision,
            "title": title,
            "context_text": context,
            "solution_text": solution,
            "changed_fields": changed_fields,
            "editor_id": editor_id,
        }
        await self._executor.execute(_ADD, new)
