"""Tags change: what is said of them, and which of them are one."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple, cast
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CursorResult,
    Integer,
    Uuid,
    and_,
    any_,
    bindparam,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from commontrace.storage.models import Tag, TagAlias, Trace, TraceTag
from commontrace.storage.tags.repository import MERGES

# What `TraceChanges.hold_off_purges` does, without a list of the traces: a tag may have ten thousand.
_TAGGED = select(TraceTag.trace_id).where(TraceTag.tag_id == bindparam("of_tag", type_=Uuid))
_HELD = select(Trace.id).where(Trace.id.in_(_TAGGED)).order_by(Trace.id).with_for_update(read=True, key_share=True)
_HOLD_TAGGED = select(func.count()).select_from(_HELD.subquery())
_ADD_TO_EACH = (
    insert(TraceTag.__table__)
    .from_select(
        ["trace_id", "tag_id"],
        select(func.unnest(bindparam("to_traces", type_=ARRAY(Uuid))), bindparam("new_tag_id", type_=Uuid)),
    )
    .on_conflict_do_nothing()
)

KEPT_UNUSED = timedelta(days=1)

# One entry of the index (tag_id, trace_id) for each tag. Without the order, the planner reads the table from its start
# where few tags have many traces: it expects to meet one of any tag soon, and meets none of an unused one.
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
    Tag.created_at < func.now() - KEPT_UNUSED,
    _A_TRACE.is_(None),
    _ALIASES == 0,
)
LOOK_FOR_UNUSED = (
    select(Tag.id, _IS_UNUSED.label("is_unused"))
    .where(Tag.id > bindparam("after", type_=Uuid))
    .order_by(Tag.id)
    .limit(bindparam("most", type_=Integer))
)
"""What `TagChanges.forget_unused` finds tags with; plan tests explain it."""
_OF_THEM = Tag.id == any_(bindparam("tag_ids", type_=ARRAY(Uuid)))
# Whoever holds a tag is about to use it.
_LOCK = select(Tag.id).where(_OF_THEM).with_for_update(skip_locked=True)
_FORGET = delete(Tag).where(_OF_THEM, _IS_UNUSED)


class Looked(NamedTuple):
    """How many tags were looked at, the last of them, and how many of them were removed."""

    looked_at: int
    last: UUID
    forgotten: int


class TagChanges:
    """Changes of tags that exist."""

    def __init__(self, session: AsyncSession) -> None:
        """Takes the session of the unit of work."""
        self._session = session

    async def set(self, tag_id: UUID, values: Mapping[str, Any]) -> None:
        """Sets columns by name."""
        changed = update(Tag).where(Tag.id == tag_id).values(**values, updated_at=func.now())
        await self._session.execute(changed)

    async def forget_unused(self, *, after: UUID, most: int) -> Looked:
        """Looks at up to `most` tags by id behind `after`, and removes those that are of no use for a day.

        These have no trace, not even a deleted one, no alias and no description, and are not curated.
        """
        rows = (await self._session.execute(LOOK_FOR_UNUSED, {"after": after, "most": most})).all()
        unused = [row.id for row in rows if row.is_unused]
        forgotten = 0
        if unused:
            locked = list((await self._session.execute(_LOCK, {"tag_ids": unused})).scalars())
            # A statement of its own, once nobody else can begin to use them: only this one sees who has before.
            dropped = await self._session.execute(_FORGET, {"tag_ids": locked})
            forgotten = cast("CursorResult[None]", dropped).rowcount
        return Looked(looked_at=len(rows), last=rows[-1].id if rows else after, forgotten=forgotten)

    async def begin_merge(self) -> None:
        """Waits for everybody who holds off merges, and keeps them waiting until the transaction ends."""
        await self._session.execute(select(func.pg_advisory_xact_lock(MERGES)))

    async def add_alias(self, name: str, tag_id: UUID) -> None:
        """Lets a name that stands for nothing stand for the tag. A merge must have begun."""
        await self._session.execute(insert(TagAlias).values(name=name, tag_id=tag_id))

    async def merge(self, source_id: UUID, target_id: UUID) -> int:
        """Gives the target all that the source has, its name included; returns how many traces had the source.

        A merge must have begun.
        """
        # A statement of its own: only the next ones see what purges before it have erased.
        await self._session.execute(_HOLD_TAGGED, {"of_tag": source_id})
        # Removed first: that locks the signs of all these traces in one order, the insert those of some.
        removed = delete(TraceTag).where(TraceTag.tag_id == source_id).returning(TraceTag.trace_id)
        trace_ids = (await self._session.execute(removed)).scalars().all()
        await self._session.execute(_ADD_TO_EACH, {"to_traces": trace_ids, "new_tag_id": target_id})
        await self._session.execute(update(TagAlias).where(TagAlias.tag_id == source_id).values(tag_id=target_id))
        gone = await self._session.execute(delete(Tag).where(Tag.id == source_id).returning(Tag.name))
        await self.add_alias(gone.scalar_one(), target_id)
        return len(trace_ids)
