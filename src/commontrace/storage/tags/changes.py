"""Changes of tags: descriptions, aliases, merges, deletion of unused ones (ADR 0010)."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, cast
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CursorResult,
    Integer,
    String,
    Uuid,
    and_,
    any_,
    bindparam,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from commontrace.domain.namespaces.access import ReadableNamespaces
from commontrace.storage.models import Tag, TagAlias, Trace, TraceTag
from commontrace.storage.namespaces.readable import GRANTED_IDS
from commontrace.storage.tags.repository import MERGES
from commontrace.storage.transaction import Transaction

# As `TraceChanges.block_purges`, without a list of the traces: a tag may have ten thousand.
_TAGGED = select(TraceTag.trace_id).where(TraceTag.tag_id == bindparam("of_tag", type_=Uuid))
_LOCKED = select(Trace.id).where(Trace.id.in_(_TAGGED)).order_by(Trace.id).with_for_update(read=True, key_share=True)
_BLOCK_PURGES_OF_TAGGED = select(func.count()).select_from(_LOCKED.subquery())
_ADD_TO_EACH = (
    insert(TraceTag.__table__)
    .from_select(
        ["trace_id", "tag_id"],
        select(func.unnest(bindparam("to_traces", type_=ARRAY(Uuid))), bindparam("new_tag_id", type_=Uuid)),
    )
    .on_conflict_do_nothing()
)

_COUNT_READABLE = (
    select(func.count())
    .select_from(Trace)
    .where(Trace.id == any_(bindparam("trace_ids", type_=ARRAY(Uuid))), Trace.namespace_id == GRANTED_IDS)
)
_NAMESPACES_WITH = (
    select(Trace.namespace_id)
    .distinct()
    .join(TraceTag, TraceTag.trace_id == Trace.id)
    .join(Tag, Tag.id == TraceTag.tag_id)
    .where(Tag.name == bindparam("of_name", type_=String), Trace.namespace_id == GRANTED_IDS)
)
# By position, see TagAlias.
_ADD_ALIAS = text("INSERT INTO tag_aliases VALUES (:new_alias, :of_tag)").bindparams(
    bindparam("new_alias", type_=String), bindparam("of_tag", type_=Uuid)
)

UNUSED_RETENTION = timedelta(days=1)

# Reads one entry of the index (tag_id, trace_id) for each tag. Without ORDER BY, where few tags have many traces, the
# planner scans the table: it expects a row of any tag soon, and finds none of an unused tag.
_A_TRACE = (
    select(TraceTag.trace_id)
    .where(TraceTag.tag_id == Tag.id)
    .order_by(TraceTag.trace_id)
    .limit(1)
    .correlate(Tag)
    .scalar_subquery()
)
_ALIASES = select(func.count()).select_from(TagAlias).where(TagAlias.tag_id == Tag.id).correlate(Tag).scalar_subquery()
_IS_UNUSED = and_(
    Tag.is_curated.is_(False),
    Tag.description == "",
    Tag.created_at < func.now() - UNUSED_RETENTION,
    _A_TRACE.is_(None),
    _ALIASES == 0,
)
SCAN_FOR_UNUSED = (
    select(Tag.id, _IS_UNUSED.label("is_unused"))
    .where(Tag.id > bindparam("after", type_=Uuid))
    .order_by(Tag.id)
    .limit(bindparam("limit", type_=Integer))
)
"""The statement with which `TagChanges.delete_unused` finds tags; plan tests EXPLAIN it."""
_OF_THEM = Tag.id == any_(bindparam("tag_ids", type_=ARRAY(Uuid)))
# A locked tag is about to be used.
_LOCK = select(Tag.id).where(_OF_THEM).with_for_update(skip_locked=True)
_DELETE_UNUSED = delete(Tag).where(_OF_THEM, _IS_UNUSED)


class UnusedTagScan(NamedTuple):
    """Result of one step of the scan for unused tags; `last_id` is the cursor for the next step."""

    scanned: int
    last_id: UUID
    deleted: int


class TagChanges:
    """Changes of existing tags, in one unit of work."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def update(self, tag_id: UUID, values: Mapping[str, Any]) -> None:
        """Sets columns by name, and the time of the last change."""
        changed = update(Tag).where(Tag.id == tag_id).values(**values, updated_at=func.now())
        await self._transaction.execute(changed)

    async def list_namespace_ids(self, name: str, namespaces: ReadableNamespaces) -> Sequence[UUID]:
        """Returns the namespaces that the caller may read in which traces, deleted or not, have the tag."""
        parameters = {"of_name": name, "granted_ids": namespaces.granted_ids}
        return (await self._transaction.execute(_NAMESPACES_WITH, parameters)).scalars().all()

    async def delete_unused(self, *, after: UUID, limit: int) -> UnusedTagScan:
        """Scans up to `limit` tags by id after the cursor, and deletes those that have been unused for a day.

        Unused tags have no trace, not even a deleted one, no alias and no description, and are not curated.
        """
        rows = (await self._transaction.execute(SCAN_FOR_UNUSED, {"after": after, "limit": limit})).all()
        unused = [row.id for row in rows if row.is_unused]
        deleted = 0
        if unused:
            locked = list((await self._transaction.execute(_LOCK, {"tag_ids": unused})).scalars())
            # A separate statement: only a snapshot after the lock, which keeps new uses out, sees all earlier uses.
            result = await self._transaction.execute(_DELETE_UNUSED, {"tag_ids": locked})
            deleted = cast("CursorResult[None]", result).rowcount
        return UnusedTagScan(scanned=len(rows), last_id=rows[-1].id if rows else after, deleted=deleted)

    async def lock_for_merge(self) -> None:
        """Waits for transactions that block merges, and makes later ones wait until this transaction ends."""
        await self._transaction.execute(select(func.pg_advisory_xact_lock(MERGES)))

    async def add_alias(self, name: str, tag_id: UUID) -> None:
        """Makes an unused name an alias of the tag. Needs `lock_for_merge`."""
        await self._transaction.execute(_ADD_ALIAS, {"new_alias": name, "of_tag": tag_id})

    async def merge(self, source_id: UUID, target_id: UUID, namespaces: ReadableNamespaces) -> int:
        """Moves traces, aliases and the name of the source to the target.

        Returns how many traces had the source, of those that the caller may read, deleted ones included.

        Needs `lock_for_merge`.
        """
        # A separate statement: only later ones see what earlier purges have deleted.
        await self._transaction.execute(_BLOCK_PURGES_OF_TAGGED, {"of_tag": source_id})
        # DELETE first: its trigger locks the sign rows of all these traces in one order, the INSERT only those of some.
        removed = delete(TraceTag).where(TraceTag.tag_id == source_id).returning(TraceTag.trace_id)
        trace_ids = (await self._transaction.execute(removed)).scalars().all()
        await self._transaction.execute(_ADD_TO_EACH, {"to_traces": trace_ids, "new_tag_id": target_id})
        await self._transaction.execute(update(TagAlias).where(TagAlias.tag_id == source_id).values(tag_id=target_id))
        gone = await self._transaction.execute(delete(Tag).where(Tag.id == source_id).returning(Tag.name))
        await self.add_alias(gone.scalar_one(), target_id)
        moved = {"trace_ids": trace_ids, "granted_ids": namespaces.granted_ids}
        return int((await self._transaction.execute(_COUNT_READABLE, moved)).scalar_one())
