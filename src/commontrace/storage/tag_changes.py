"""Tags change: what is said of them, and which of them are one."""

from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from commontrace.storage.models import Tag, TagAlias, TraceTag
from commontrace.storage.tag_repository import MERGES


class TagChanges:
    """Changes of tags that exist."""

    def __init__(self, session: AsyncSession) -> None:
        """Takes the session of the unit of work."""
        self._session = session

    async def set(self, tag_id: UUID, values: Mapping[str, Any]) -> None:
        """Sets columns by name."""
        changed = update(Tag).where(Tag.id == tag_id).values(**values, updated_at=func.now())
        await self._session.execute(changed)

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
        carried = select(TraceTag.trace_id, literal(target_id)).where(TraceTag.tag_id == source_id)
        moved = insert(TraceTag).from_select(["trace_id", "tag_id"], carried)
        await self._session.execute(moved.on_conflict_do_nothing())
        had = await self._session.execute(delete(TraceTag).where(TraceTag.tag_id == source_id))
        await self._session.execute(update(TagAlias).where(TagAlias.tag_id == source_id).values(tag_id=target_id))
        gone = await self._session.execute(delete(Tag).where(Tag.id == source_id).returning(Tag.name))
        await self.add_alias(gone.scalar_one(), target_id)
        return cast("CursorResult[None]", had).rowcount
