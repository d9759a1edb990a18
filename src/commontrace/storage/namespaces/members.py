"""Members of namespaces."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from commontrace.domain.namespaces.namespace import Role
from commontrace.storage.executor import Executor
from commontrace.storage.models import NamespaceMember, User
from commontrace.storage.namespaces.access import role_of
from commontrace.storage.transaction import Transaction


class MemberRow(NamedTuple):
    """A member of a namespace."""

    user_id: UUID
    email: str
    display_name: str
    role: str
    created_at: datetime


_MEMBERS = select(
    NamespaceMember.user_id, User.email, User.display_name, NamespaceMember.role, NamespaceMember.created_at
).join(User, User.id == NamespaceMember.user_id)


class MemberReader:
    """Read side of the members."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def list(self, namespace_id: UUID, *, after: str | None, size: int) -> Sequence[MemberRow]:
        """Returns at most `size` members by the code points of their e-mail addresses, after `after`."""
        email = User.email.collate("C")
        query = _MEMBERS.where(NamespaceMember.namespace_id == namespace_id)
        if after is not None:
            query = query.where(email > after)
        return [MemberRow._make(row) for row in await self._executor.execute(query.order_by(email).limit(size))]

    async def get(self, namespace_id: UUID, email: str) -> MemberRow | None:
        """Returns the member with this address, or None."""
        query = _MEMBERS.where(NamespaceMember.namespace_id == namespace_id, User.email == email)
        row = (await self._executor.execute(query)).one_or_none()
        return None if row is None else MemberRow._make(row)


class MemberRepository(MemberReader):
    """Members in one unit of work, which locks the namespace before."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)

    async def save(self, namespace_id: UUID, user_id: UUID, role: Role) -> None:
        """Makes a user a member, or changes the role of one."""
        new = insert(NamespaceMember).values(namespace_id=namespace_id, user_id=user_id, role=role.name.lower())
        await self._executor.execute(
            new.on_conflict_do_update(
                index_elements=[NamespaceMember.namespace_id, NamespaceMember.user_id], set_={"role": new.excluded.role}
            )
        )

    async def delete(self, namespace_id: UUID, user_id: UUID) -> None:
        """Ends a membership."""
        of_user = NamespaceMember.user_id == user_id
        await self._executor.execute(
            delete(NamespaceMember).where(NamespaceMember.namespace_id == namespace_id, of_user)
        )

    async def get_role(self, namespace_id: UUID, user_id: UUID) -> Role | None:
        """Returns the role of a member, None for who is none."""
        stored = select(NamespaceMember.role).where(
            NamespaceMember.namespace_id == namespace_id, NamespaceMember.user_id == user_id
        )
        return role_of((await self._executor.execute(stored)).scalar_one_or_none())

    async def count(self, namespace_id: UUID) -> int:
        """Returns the number of members."""
        members = select(func.count()).select_from(NamespaceMember).where(NamespaceMember.namespace_id == namespace_id)
        return (await self._executor.execute(members)).scalar_one()

    async def count_owners(self, namespace_id: UUID) -> int:
        """Returns the number of owners."""
        owners = select(func.count()).where(
            NamespaceMember.namespace_id == namespace_id, NamespaceMember.role == Role.OWNER.name.lower()
        )
        return (await self._executor.execute(owners)).scalar_one()
