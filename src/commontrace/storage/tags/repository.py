"""Tags by canonical name or alias, and the tags of traces."""

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import ARRAY, String, Uuid, any_, bindparam, delete, func, literal, select
from sqlalchemy.dialects.postgresql import insert

from commontrace.domain.namespaces.access import ReadableNamespaces
from commontrace.storage.driver_statement import DriverStatement
from commontrace.storage.executor import Executor
from commontrace.storage.models import Tag, TagAlias, TraceTag
from commontrace.storage.tags.existence import exists_for_caller
from commontrace.storage.transaction import Transaction

MERGES = 0x74616773
"""Key of the advisory lock that keeps merges apart from transactions that rely on the tag of a name."""

# Built once: building a statement costs more than running it.
_WANTED = any_(bindparam("names", type_=ARRAY(String)))
_NAMED = select(Tag.name, Tag.id).where(Tag.name == _WANTED)
_ALIASED = select(TagAlias.name, TagAlias.tag_id).where(TagAlias.name == _WANTED)
_IDS_OF = _NAMED.union_all(_ALIASED)
_IDS_FOR_DRIVER = DriverStatement(_IDS_OF)
_EXISTING_IDS_FOR_DRIVER = DriverStatement(
    _NAMED.where(exists_for_caller()).union_all(
        _ALIASED.join(Tag, Tag.id == TagAlias.tag_id).where(exists_for_caller())
    )
)
# Tags that have an alias are never deleted as unused, so these need no lock.
_LOCKED = select(Tag.name, Tag.id).where(Tag.name == _WANTED).with_for_update(read=True, key_share=True).cte("held")
_LOCK = DriverStatement(
    select(_LOCKED).union_all(select(TagAlias.name, TagAlias.tag_id).where(TagAlias.name == _WANTED))
)
_BLOCK_MERGES = DriverStatement(select(func.pg_advisory_xact_lock_shared(MERGES)))
_NAMES = select(Tag.name).where(Tag.id == any_(bindparam("tag_ids", type_=ARRAY(Uuid))))
_ADD = insert(TraceTag.__table__).from_select(
    ["trace_id", "tag_id"],
    select(bindparam("new_trace_id", type_=Uuid), func.unnest(bindparam("new_tag_ids", type_=ARRAY(Uuid)))),
)


async def get_ids_by_driver(
    connection: asyncpg.Connection, names: Collection[str], namespaces: ReadableNamespaces
) -> dict[str, UUID]:
    """Returns the ids of tags that exist for a caller, by name or alias, on a connection of searches."""
    statement = _IDS_FOR_DRIVER if namespaces.is_unlimited else _EXISTING_IDS_FOR_DRIVER
    parameters = {"names": list(names), "granted_ids": namespaces.granted_ids}
    rows = await connection.fetch(statement.sql, *statement.arguments(parameters))
    return {row[0]: row[1] for row in rows}


class TagReader:
    """Read side of the tags. Every name is a canonical one, of a tag or of an alias."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def get_ids(self, names: Collection[str]) -> dict[str, UUID]:
        """Returns the tags' ids by name or alias, whoever may see them. Unknown names are left out."""
        return {row[0]: row[1] for row in await self._executor.execute(_IDS_OF, {"names": list(names)})}

    async def get_canonical_names(self, names: Collection[str], namespaces: ReadableNamespaces) -> dict[str, str]:
        """Returns the own names of tags that exist for a caller, by name or alias. Others are left out."""
        wanted = any_(literal(list(names), ARRAY(String)))
        existing = () if namespaces.is_unlimited else (exists_for_caller(),)
        tags = select(Tag.name, Tag.name.label("own_name")).where(Tag.name == wanted, *existing)
        aliases = select(TagAlias.name, Tag.name).join(Tag, Tag.id == TagAlias.tag_id)
        query = tags.union_all(aliases.where(TagAlias.name == wanted, *existing))
        return {row[0]: row[1] for row in await self._executor.execute(query, {"granted_ids": namespaces.granted_ids})}


class TagRepository(TagReader):
    """Tags and the tags of traces, in one unit of work."""

    _executor: Transaction

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)
        self.created_names = 0
        """Number of names that this unit of work has created."""

    async def block_merges(self) -> None:
        """Blocks merges until the transaction ends, after waiting for one in progress.

        A separate statement: only later statements see what that merge changed.
        """
        await self._executor.fetch(_BLOCK_MERGES, {})

    async def lock(self, names: Collection[str]) -> dict[str, UUID]:
        """Returns the same as `get_ids`, and keeps the tags from being deleted as unused until the transaction ends."""
        return {row[0]: row[1] for row in await self._executor.fetch(_LOCK, {"names": list(names)})}

    async def lock_all(self, names: Collection[str]) -> set[UUID] | None:
        """Returns the ids of tags, locked and kept apart from merges as for `attach`; None where one of them is new."""
        if not names:
            return set()
        await self.block_merges()
        known = await self.lock(names)
        return set(known.values()) if known.keys() == set(names) else None

    async def get_or_create(self, names: Collection[str]) -> dict[str, UUID]:
        """Returns the tags' ids by name, and creates the tags that are new.

        A unit of work that attaches tags to several traces calls this for all of them first: otherwise two such units
        may deadlock.
        """
        await self.block_merges()
        known = await self.lock(names)
        # In alphabetical order: two transactions that create the same tags wait instead of deadlocking.
        while new := sorted(set(names) - known.keys()):
            rows = [{"id": uuid4(), "name": name} for name in new]
            created = insert(Tag).values(rows).on_conflict_do_nothing(index_elements=[Tag.name]).returning(Tag.id)
            self.created_names += len((await self._executor.execute(created)).all())
            # Another transaction may have created some of them meanwhile.
            known |= await self.lock(new)
        return known

    async def attach(self, trace_id: UUID, names: Collection[str]) -> list[str]:
        """Adds tags to a new trace, and creates the tags that are new; returns the tags' own names, in order.

        Several names of one tag add it once.
        """
        if not names:
            return []
        tag_ids = set((await self.get_or_create(names)).values())
        await self._add(trace_id, tag_ids)
        return sorted((await self._executor.execute(_NAMES, {"tag_ids": list(tag_ids)})).scalars())

    async def replace(self, trace_id: UUID, names: Sequence[str]) -> bool:
        """Makes these the tags of a trace that is locked; tells whether they were others before."""
        # Also without names: otherwise a merge in progress could add a tag to the trace afterwards.
        wanted = set((await self.get_or_create(names)).values())
        present = select(TraceTag.tag_id).where(TraceTag.trace_id == trace_id)
        had = set((await self._executor.execute(present)).scalars())
        if gone := had - wanted:
            lost = TraceTag.tag_id == any_(literal(list(gone), ARRAY(Uuid)))
            await self._executor.execute(delete(TraceTag).where(TraceTag.trace_id == trace_id, lost))
        if new := wanted - had:
            await self._add(trace_id, new)
        return had != wanted

    async def _add(self, trace_id: UUID, tag_ids: Iterable[UUID]) -> None:
        await self._executor.execute(_ADD, {"new_trace_id": trace_id, "new_tag_ids": list(tag_ids)})
