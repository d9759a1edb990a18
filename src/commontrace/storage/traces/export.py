"""Export of traces: whole rows, oldest first."""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, Self
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Integer,
    Select,
    String,
    Uuid,
    bindparam,
    case,
    func,
    literal_column,
    null,
    select,
    true,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.embeddings.embedder import Vector
from commontrace.storage.keyset import Cursor
from commontrace.storage.models import Trace, TraceSigns
from commontrace.storage.namespaces.names import namespace_name_of
from commontrace.storage.search import filter_sql
from commontrace.storage.tags.tag_names import tag_names_of


class ExportRow(NamedTuple):
    """A live trace without votes and other data of other users."""

    id: UUID
    created_at: datetime
    title: str
    context_text: str
    solution_text: str
    tags: list[str]
    """In alphabetical order."""
    agent_model: str
    agent_version: str
    metadata_json: dict[str, Any]
    allows_duplicates: bool
    supersedes_id: UUID | None
    """The live trace that this one supersedes."""
    namespace: str
    """The name of its namespace."""
    embedding: Vector | None
    """None if the trace has no vector of the model, or if the caller wants none."""

    @classmethod
    def of(cls, columns: Iterable[Any]) -> Self:
        """Returns a row of `page_statement` with its tags in order."""
        row = cls._make(columns)
        row.tags.sort()
        return row

    @property
    def cursor(self) -> Cursor:
        """The cursor after which the next page begins."""
        return Cursor(self.created_at, self.id)


class TraceExport:
    """Pages of traces, bounded by rows and bytes."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list_oldest_first(
        self,
        trace_filter: ResolvedFilter,
        *,
        after: Cursor | None,
        size: int,
        text_bytes: int,
        model: tuple[str, str] | None,
    ) -> list[ExportRow]:
        """Returns at most `size` live traces by (created_at, id), oldest first, after the cursor `after`.

        The page ends before the trace whose texts would exceed `text_bytes` in sum, but has one trace if any follows.
        `model` is the id and version of the model whose vectors are included;
        None includes none.
        """
        query = page_statement(
            filter_sql.kinds_of(trace_filter), is_continued=after is not None, with_embeddings=model is not None
        )
        parameters = page_parameters(trace_filter, after=after, size=size, text_bytes=text_bytes, model=model)
        return [ExportRow.of(row) for row in await self._connection.execute(query, parameters)]


# Cached: building a statement costs more than running it.
@lru_cache(maxsize=256)
def page_statement(kinds: filter_sql.Kinds, *, is_continued: bool, with_embeddings: bool) -> Select[Any]:
    """Returns the statement of `TraceExport.list_oldest_first` for filters of these kinds; plan tests EXPLAIN it."""
    first = _first(kinds, is_continued=is_continued).subquery("first")
    # octet_length of an out-of-line text does not read the text.
    text_bytes = func.octet_length(first.c.context_text) + func.octet_length(first.c.solution_text)
    until_then = func.sum(text_bytes).over(order_by=(first.c.created_at, first.c.id), rows=(None, 0))
    page = select(first, text_bytes.label("own_bytes"), until_then.label("bytes")).subquery("page")
    return (
        select(*(column.label(name) for name, column in _columns(page.c, with_embeddings=with_embeddings).items()))
        .where((page.c.bytes <= bindparam("text_bytes", type_=Integer)) | (page.c.bytes == page.c.own_bytes))
        .order_by(page.c.created_at, page.c.id)
    )


def _first(kinds: filter_sql.Kinds, *, is_continued: bool) -> Select[Any]:
    """Returns a query for the live traces that pass a filter of these kinds, as many as a page has at most."""
    traces, signs = Trace.__table__, TraceSigns.__table__
    if filter_sql.passes_nearly_all(kinds - {"metadata"}):
        matching = select(traces).where(Trace.deleted_at.is_(None), *filter_sql.conditions(kinds))
        return _limited(matching, traces.c.created_at, traces.c.id, is_continued=is_continued)
    # From the narrow table, which has an index for each condition: rare traces are found without reading all.
    matching = select(signs.c.trace_id).where(signs.c.is_live, *filter_sql.conditions_on_signs(kinds))
    found = _limited(matching, signs.c.created_at, signs.c.trace_id, is_continued=is_continued).subquery("found")
    # OFFSET 0 keeps the planner from joining the subquery: for a large page it would then scan all traces.
    row = select(traces).where(traces.c.id == found.c.trace_id).offset(literal_column("0")).lateral("row")
    return select(row).select_from(found.join(row, true()))


def _limited(
    matching: Select[Any], created_at: ColumnElement[Any], trace_id: ColumnElement[Any], *, is_continued: bool
) -> Select[Any]:
    if is_continued:
        after = tuple_(bindparam("after_time", type_=DateTime(timezone=True)), bindparam("after_id", type_=Uuid))
        matching = matching.where(tuple_(created_at, trace_id) > after)
    return matching.order_by(created_at, trace_id).limit(bindparam("row_limit", type_=Integer))


def page_parameters(
    trace_filter: ResolvedFilter,
    *,
    after: Cursor | None,
    size: int,
    text_bytes: int,
    model: tuple[str, str] | None,
) -> dict[str, Any]:
    """Returns the parameters of `page_statement`."""
    parameters = {"row_limit": size, "text_bytes": text_bytes, **filter_sql.parameters(trace_filter)}
    if after is not None:
        parameters |= {"after_time": after.created_at, "after_id": after.id}
    if model is not None:
        parameters |= {"model_id": model[0], "model_version": model[1]}
    return parameters


def _columns(page: Any, *, with_embeddings: bool) -> dict[str, ColumnElement[Any]]:
    replaced = aliased(Trace)
    columns = {name: page[name] for name in ExportRow._fields if name in page}
    columns["tags"] = tag_names_of(page.id)
    columns["namespace"] = namespace_name_of(page.namespace_id)
    columns["allows_duplicates"] = page.content_hash.is_(None)
    columns["supersedes_id"] = (
        select(replaced.id).where(replaced.id == page.supersedes_id, replaced.deleted_at.is_(None)).scalar_subquery()
    )
    is_of_model = (page.embedding_model_id == bindparam("model_id", type_=String)) & (
        page.embedding_model_version == bindparam("model_version", type_=String)
    )
    columns["embedding"] = case((is_of_model, page.embedding)) if with_embeddings else null()
    return {name: columns[name] for name in ExportRow._fields}
