"""Tags by canonical name."""

from collections.abc import Collection, Sequence
from uuid import UUID, uuid4

from sqlalchemy import ARRAY, String, any_, literal, select
from sqlalchemy import insert as plain_insert
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from commontrace.storage.models import Tag, TagAlias, TraceTag


class TagRepository:
    """The tags and which trace carries them."""

    def __init__(self, session: AsyncSession | AsyncConnection) -> None:
        """Takes where to ask."""
        self._session = session

    async def ids_of(self, names: Collection[str]) -> dict[str, UUID]:
        """Returns the tags' ids by canonical name or alias, without names that stand for no tag."""
        wanted = any_(literal(list(names), ARRAY(String)))
        tags = select(Tag.name, Tag.id).where(Tag.name == wanted)
        aliases = select(TagAlias.name, TagAlias.tag_id).where(TagAlias.name == wanted)
        return {row[0]: row[1] for row in await self._session.execute(tags.union_all(aliases))}

    async def ensure(self, names: Collection[str]) -> None:
        """Creates those of the tags that are new, by canonical names.

        A unit of work that attaches tags to several traces ensures them all before, or it may deadlock with another.
        """
        # In alphabetical order: two callers who create the same tags wait for each other instead of deadlocking.
        new = [{"id": uuid4(), "name": name} for name in sorted(names)]
        if new:
            await self._session.execute(insert(Tag).values(new).on_conflict_do_nothing(index_elements=[Tag.name]))

    async def attach(self, trace_id: UUID, names: Sequence[str]) -> None:
        """Gives a new trace its tags, canonical names all different; tags that are new are created."""
        if not names:
            return
        await self.ensure(names)
        ids = await self._session.scalars(select(Tag.id).where(Tag.name == any_(literal(list(names), ARRAY(String)))))
        await self._session.execute(
            plain_insert(TraceTag), [{"trace_id": trace_id, "tag_id": tag_id} for tag_id in ids]
        )
