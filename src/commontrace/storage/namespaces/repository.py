"""Namespaces: rows as their readers see them, and changes. A change notifies the servers when it commits."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Integer,
    String,
    Uuid,
    any_,
    bindparam,
    cast,
    delete,
    func,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from commontrace.domain.namespaces.namespace import Visibility
from commontrace.storage.driver_statement import DriverStatement
from commontrace.storage.executor import Executor
from commontrace.storage.models import Namespace, RetiredNamespace, TraceSigns
from commontrace.storage.namespaces.access import CHANNEL
from commontrace.storage.namespaces.enabling import is_enabled_sql
from commontrace.storage.transaction import Transaction


class NamespaceRow(NamedTuple):
    """A namespace with the number of its live traces."""

    id: UUID
    name: str
    description: str
    visibility: str
    edit_number: int
    created_at: datetime
    trace_count: int


# Built once: building a statement costs more than running it.
_OF_THEM = any_(bindparam("namespace_ids", type_=ARRAY(Uuid)))
_PAGE = (
    select(*(Namespace.__table__.c[name] for name in NamespaceRow._fields if name != "trace_count"))
    .where(Namespace.id == _OF_THEM)
    .order_by(Namespace.name.collate("C"))
    .limit(bindparam("row_limit", type_=Integer))
    .subquery("page")
)
# All in one scan: a count for each namespace would read most of the table as often as there are namespaces.
_COUNTS = (
    select(TraceSigns.namespace_id, func.count().label("trace_count"))
    .where(TraceSigns.namespace_id == _OF_THEM, TraceSigns.is_live)
    .group_by(TraceSigns.namespace_id)
    .subquery("counts")
)
_BY_ID = (
    select(*_PAGE.c, func.coalesce(_COUNTS.c.trace_count, 0))
    .outerjoin(_COUNTS, _COUNTS.c.namespace_id == _PAGE.c.id)
    .order_by(_PAGE.c.name.collate("C"))
)
_NAMES = (
    select(Namespace.name)
    .where(Namespace.id == _OF_THEM)
    .union(select(RetiredNamespace.name).where(RetiredNamespace.id == _OF_THEM))
)
_HOLD = DriverStatement(
    select(Namespace.id)
    .where(Namespace.id == bindparam("of_namespace", type_=Uuid))
    .with_for_update(read=True, key_share=True)
)
_LOCK = select(Namespace.visibility).where(Namespace.id == bindparam("of_namespace", type_=Uuid))
# FOR NO KEY UPDATE: writers of traces, who hold the namespace, neither wait nor hold up who takes their access away.
_LOCK_FOR_CHANGE = _LOCK.with_for_update(key_share=True)
_LOCK_FOR_DELETION = _LOCK.with_for_update()
_ALLOW_LONG_CHECK = text("SET LOCAL statement_timeout = '9s'")
_NOTIFY = select(func.pg_notify(cast(CHANNEL, String), ""))


class NamespaceReader:
    """Read side of the namespaces. Who may read one is decided before: ids come from a caller's access."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def get_many(self, namespace_ids: Collection[UUID], *, size: int | None = None) -> Sequence[NamespaceRow]:
        """Returns the namespaces with these ids by name, `size` at most. Those that are gone are left out before."""
        rows = await self._executor.execute(_BY_ID, {"namespace_ids": list(namespace_ids), "row_limit": size})
        return [NamespaceRow._make(row) for row in rows]

    async def list_names(self, namespace_ids: Collection[UUID]) -> Sequence[str]:
        """Returns the names of namespaces, deleted ones included, in alphabetical order."""
        rows = await self._executor.execute(_NAMES, {"namespace_ids": list(namespace_ids)})
        return sorted(rows.scalars())

    async def get_missing_names(self, names: Collection[str]) -> set[str]:
        """Returns those of the names that no namespace has."""
        found = select(Namespace.name).where(Namespace.name.in_(names))
        return set(names) - set((await self._executor.execute(found)).scalars())

    async def is_enabled(self) -> bool:
        """Returns whether there may be other namespaces than `commons` (see `enabling`)."""
        return bool((await self._executor.execute(select(literal_column(is_enabled_sql())))).scalar_one())


class NamespaceRepository(NamespaceReader):
    """Namespaces in one unit of work."""

    _executor: Transaction

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)

    async def add(self, namespace_id: UUID, name: str, *, description: str, visibility: Visibility) -> bool:
        """Inserts a namespace; returns False if the name is or was in use."""
        new = insert(Namespace).values(id=namespace_id, name=name, description=description, visibility=visibility)
        added = await self._executor.execute(
            new.on_conflict_do_nothing(index_elements=[Namespace.name]).returning(Namespace.id)
        )
        if added.one_or_none() is None:
            return False
        # Afterwards: the insert may have waited for a transaction that deletes the namespace of this name.
        retired = select(RetiredNamespace.name).where(RetiredNamespace.name == name)
        return (await self._executor.execute(retired)).one_or_none() is None

    async def count(self) -> int:
        """Returns the number of namespaces."""
        return int((await self._executor.execute(select(func.count()).select_from(Namespace))).scalar_one())

    async def hold(self, namespace_id: UUID) -> bool:
        """Keeps a namespace from being deleted until the transaction ends; returns False if it is gone."""
        return bool(await self._executor.fetch(_HOLD, {"of_namespace": namespace_id}))

    async def lock(self, namespace_id: UUID, *, for_deletion: bool = False) -> Visibility | None:
        """Locks a namespace against every change of it and of its members; returns its visibility, None if it is gone.

        `for_deletion` also keeps new traces out, after waiting for those that are being stored.
        """
        statement = _LOCK_FOR_DELETION if for_deletion else _LOCK_FOR_CHANGE
        found = (await self._executor.execute(statement, {"of_namespace": namespace_id})).scalar_one_or_none()
        return None if found is None else Visibility(found)

    async def count_trace_rows(self, namespace_id: UUID) -> int:
        """Returns the number of traces in a namespace, deleted ones included."""
        # By the index of the narrow table, which has a row for every trace.
        inside = select(func.count()).select_from(TraceSigns).where(TraceSigns.namespace_id == namespace_id)
        return int((await self._executor.execute(inside)).scalar_one())

    async def update(self, namespace_id: UUID, values: Mapping[str, Any]) -> None:
        """Sets columns of a locked namespace by name."""
        changed = update(Namespace).where(Namespace.id == namespace_id)
        await self._executor.execute(changed.values(**values, edit_number=Namespace.edit_number + 1))

    async def delete(self, namespace_id: UUID) -> None:
        """Deletes a locked namespace with its memberships. Its name is kept."""
        columns = select(Namespace.name, Namespace.id).where(Namespace.id == namespace_id)
        await self._executor.execute(insert(RetiredNamespace).from_select(["name", "id"], columns))
        # Reads all traces for the foreign key: where they are many, for longer than the statement_timeout of calls.
        await self._executor.execute(_ALLOW_LONG_CHECK)
        await self._executor.execute(delete(Namespace).where(Namespace.id == namespace_id))

    async def notify(self) -> None:
        """Notifies every server, when the transaction commits, that what callers may reach has changed."""
        await self._executor.execute(_NOTIFY)
