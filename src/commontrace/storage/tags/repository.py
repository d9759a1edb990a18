"""Which tag a name stands for, and which trace carries which tag."""

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import ARRAY, String, Uuid, any_, bindparam, delete, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from commontrace.storage.driver_statement import DriverStatement
from commontrace.storage.models import Tag, TagAlias, TraceTag

MERGES = 0x74616773
"""The key of the advisory lock that keeps merges apart from all that relies on what a name stands for."""

# Made once: putting a statement together costs more than running it.
_WANTED = any_(bindparam("names", type_=ARRAY(String)))
_IDS_OF = (
    select(Tag.name, Tag.id)
    .where(Tag.name == _WANTED)
    .union_all(select(TagAlias.name, TagAlias.tag_id).where(TagAlias.name == _WANTED))
)
_IDS_FOR_DRIVER = DriverStatement(_IDS_OF)
# Tags that aliases stand for are not removed, so these need no lock.
_HELD = select(Tag.name, Tag.id).where(Tag.name == _WANTED).with_for_update(read=True, key_share=True).cte("held")
_HOLD = select(_HELD).union_all(select(TagAlias.name, TagAlias.tag_id).where(TagAlias.name == _WANTED))
_HOLD_OFF_MERGES = select(func.pg_advisory_xact_lock_shared(MERGES))
_ADD = insert(TraceTag.__table__).from_select(
    ["trace_id", "tag_id"],
    select(bindparam("new_trace_id", type_=Uuid), func.unnest(bindparam("new_tag_ids", type_=ARRAY(Uuid)))),
)


async def ids_by_driver(connection: asyncpg.Connection, names: Collection[str]) -> dict[str, UUID]:
    """Does what `TagRepository.ids_of` does, on a connection of searches."""
    rows = await connection.fetch(_IDS_FOR_DRIVER.sql, *_IDS_FOR_DRIVER.arguments({"names": list(names)}))
    return {row[0]: row[1] for row in rows}


class TagRepository:
    """The tags by name, and which trace carries them. Names are canonical ones; each may be an alias."""

    def __init__(self, session: AsyncSession | AsyncConnection) -> None:
        """Takes where to ask."""
        self._session = session
        self.created_names = 0
        """How many names this unit of work has given a meaning to that had none."""

    async def ids_of(self, names: Collection[str]) -> dict[str, UUID]:
        """Returns the tags' ids by canonical name or alias, without names that stand for no tag."""
        return {row[0]: row[1] for row in await self._session.execute(_IDS_OF, {"names": list(names)})}

    async def names_of(self, names: Collection[str]) -> dict[str, str]:
        """Returns the tags' own names by canonical name or alias, without names that stand for no tag."""
        wanted = any_(literal(list(names), ARRAY(String)))
        tags = select(Tag.name, Tag.name.label("own_name")).where(Tag.name == wanted)
        aliases = select(TagAlias.name, Tag.name).join(Tag, Tag.id == TagAlias.tag_id).where(TagAlias.name == wanted)
        return {row[0]: row[1] for row in await self._session.execute(tags.union_all(aliases))}

    async def hold_off_merges(self) -> None:
        """Makes merges wait until the transaction ends, and waits for one under way.

        A statement of its own: only the next one sees what that merge did.
        """
        await self._session.execute(_HOLD_OFF_MERGES)

    async def hold(self, names: Collection[str]) -> dict[str, UUID]:
        """Does what `ids_of` does, and keeps the tags from being removed as unused until the transaction ends."""
        return {row[0]: row[1] for row in await self._session.execute(_HOLD, {"names": list(names)})}

    async def ensure(self, names: Collection[str]) -> dict[str, UUID]:
        """Creates those of the tags that are new and returns the ids of all by name.

        A unit of work that attaches tags to several traces ensures them all before, or it may deadlock with another.
        """
        await self.hold_off_merges()
        known = await self.hold(names)
        # In alphabetical order: two callers who create the same tags wait for each other instead of deadlocking.
        while new := sorted(set(names) - known.keys()):
            rows = [{"id": uuid4(), "name": name} for name in new]
            created = insert(Tag).values(rows).on_conflict_do_nothing(index_elements=[Tag.name]).returning(Tag.id)
            self.created_names += len((await self._session.execute(created)).all())
            # Others may have created some of them meanwhile.
            known |= await self.hold(new)
        return known

    async def attach(self, trace_id: UUID, names: Sequence[str]) -> None:
        """Gives a new trace its tags; those that are new are created, names of one tag are one."""
        if names:
            await self._add(trace_id, set((await self.ensure(names)).values()))

    async def replace(self, trace_id: UUID, names: Sequence[str]) -> bool:
        """Makes these the tags of a trace that is locked; tells whether they were others before."""
        # Without names, too: a merge under way could give the trace a tag behind this one's back.
        wanted = set((await self.ensure(names)).values())
        present = select(TraceTag.tag_id).where(TraceTag.trace_id == trace_id)
        had = set((await self._session.execute(present)).scalars())
        if gone := had - wanted:
            lost = TraceTag.tag_id == any_(literal(list(gone), ARRAY(Uuid)))
            await self._session.execute(delete(TraceTag).where(TraceTag.trace_id == trace_id, lost))
        if new := wanted - had:
            await self._add(trace_id, new)
        return had != wanted

    async def _add(self, trace_id: UUID, tag_ids: Iterable[UUID]) -> None:
        await self._session.execute(_ADD, {"new_trace_id": trace_id, "new_tag_ids": list(tag_ids)})
