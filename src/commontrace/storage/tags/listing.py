"""Tags as readers see them: with aliases and counts of traces."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from commontrace.domain.namespaces.access import ReadableNamespaces
from commontrace.storage.executor import Executor
from commontrace.storage.models import Tag, TagAlias, Trace, TraceTag
from commontrace.storage.namespaces.readable import GRANTED_IDS
from commontrace.storage.tags.existence import exists_for_caller


class TagRow(NamedTuple):
    """A tag with its aliases and the number of its live traces."""

    name: str
    description: str
    is_curated: bool
    created_at: datetime
    aliases: list[str]
    trace_count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TagQuery:
    """A query for at most `size` tags: by name from `after` on, exclusive, or the most used ones."""

    prefix: str = ""
    curated_only: bool = False
    by_use: bool = False
    after: str | None = None
    size: int


_COLUMNS = ("id", "name", "description", "is_curated", "created_at")


class TagListing:
    """Queries for the tags that exist for a caller, with counts of the traces that the caller may read.

    Each is one statement, however many tags it returns.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def get(self, name: str, namespaces: ReadableNamespaces) -> TagRow | None:
        """Returns the tag with a canonical name or alias, or None."""
        rows = await self._fetch(_candidates(_is_named(name), *_existing(namespaces)), namespaces)
        return rows[0] if rows else None

    async def get_any(self, name: str, namespaces: ReadableNamespaces) -> TagRow | None:
        """Returns the same whether it exists for the caller or not, after a change that the caller made of it."""
        rows = await self._fetch(_candidates(_is_named(name)), namespaces)
        return rows[0] if rows else None

    async def list(self, query: TagQuery, namespaces: ReadableNamespaces) -> Sequence[TagRow]:
        """Returns the tags, ordered by the code points of their names, or by use and then by name."""
        conditions = [*_existing(namespaces)]
        if query.prefix:
            conditions.append(func.starts_with(Tag.name, query.prefix))
        if query.curated_only:
            conditions.append(Tag.is_curated.is_(True))
        if query.by_use:
            return await self._fetch(_candidates(*conditions), namespaces, most=query.size)
        if query.after is not None:
            conditions.append(_by_code_points(Tag.name) > query.after)
        page = _candidates(*conditions).order_by(_by_code_points(Tag.name)).limit(query.size)
        return await self._fetch(page, namespaces)

    async def _fetch(
        self, candidates: Select[Any], namespaces: ReadableNamespaces, *, most: int | None = None
    ) -> Sequence[TagRow]:
        rows = await self._executor.execute(_counted(candidates, most), {"granted_ids": namespaces.granted_ids})
        return [TagRow._make(row) for row in rows]


def _is_named(name: str) -> ColumnElement[bool]:
    of_alias = select(TagAlias.tag_id).where(TagAlias.name == name).scalar_subquery()
    return or_(Tag.name == name, Tag.id == of_alias)


def _existing(namespaces: ReadableNamespaces) -> Sequence[ColumnElement[bool]]:
    return () if namespaces.is_unlimited else (exists_for_caller(),)


def _candidates(*conditions: ColumnElement[bool]) -> Select[Any]:
    return select(*(Tag.__table__.c[name] for name in _COLUMNS)).where(*conditions)


def _counted(candidates: Select[Any], most: int | None) -> Select[Any]:
    tag = candidates.subquery()
    aliases = select(TagAlias.name).where(TagAlias.tag_id == tag.c.id).order_by(_by_code_points(TagAlias.name))
    # Counts traces, not rows of trace_tags: deleted traces keep theirs.
    count, readable = func.count(Trace.id), Trace.namespace_id == GRANTED_IDS
    counted = (
        select(
            tag.c.name,
            tag.c.description,
            tag.c.is_curated,
            tag.c.created_at,
            func.array(aliases.scalar_subquery()),
            count,
        )
        .select_from(tag)
        .outerjoin(TraceTag, TraceTag.tag_id == tag.c.id)
        .outerjoin(Trace, and_(Trace.id == TraceTag.trace_id, Trace.deleted_at.is_(None), readable))
        .group_by(*tag.c)
    )
    by_name = _by_code_points(tag.c.name)
    return counted.order_by(by_name) if most is None else counted.order_by(count.desc(), by_name).limit(most)


def _by_code_points(name: Any) -> ColumnElement[str]:
    return name.collate("C")  # type: ignore[no-any-return] # a column
