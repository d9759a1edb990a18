"""Users: contributors, voters and moderators, by e-mail address."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, String, bindparam, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert

from commontrace.storage.executor import Executor
from commontrace.storage.models import User
from commontrace.storage.transaction import Transaction

# Built once: building a statement costs more than running it.
_ID_OF = select(User.id).where(User.email == bindparam("email", type_=String))


class UserRow(NamedTuple):
    """A user as operators see it. `display_name` is empty until it is given."""

    id: UUID
    email: str
    display_name: str
    created_at: datetime


def display_name_of(column: str) -> ColumnElement[str]:
    """Returns the display name of the user whose id is in a column such as `votes.voter_id`.

    Literal SQL: after RETURNING, SQLAlchemy would add the table of users to the query.
    """
    return literal_column(f"(SELECT display_name FROM users WHERE users.id = {column})", String)  # noqa: S608 - our names


class UserReader:
    """Read side of the users."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def get_id(self, email: str) -> UUID | None:
        """Returns the user's id, or None if no user has the address: users are created by their first write."""
        return (await self._executor.execute(_ID_OF, {"email": email})).scalar_one_or_none()

    async def list(self) -> Sequence[UserRow]:
        """Returns all users, by e-mail address."""
        columns = (User.__table__.c[name] for name in UserRow._fields)
        return [UserRow._make(row) for row in await self._executor.execute(select(*columns).order_by(User.email))]


class UserRepository(UserReader):
    """Users of one unit of work."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)

    async def get_or_create(self, email: str, *, display_name: str = "", is_seed: bool = False) -> UUID:
        """Returns the id of the user with this address, created if new. Safe against concurrent first writes."""
        known = await self.get_id(email)
        if known is not None:
            return known
        new = insert(User).values(id=uuid4(), email=email, display_name=display_name, is_seed=is_seed)
        await self._executor.execute(new.on_conflict_do_nothing(index_elements=[User.email]))
        return (await self._executor.execute(_ID_OF, {"email": email})).scalar_one()

    async def rename(self, user_id: UUID, display_name: str) -> None:
        """Changes a user's display name."""
        await self._executor.execute(update(User).where(User.id == user_id).values(display_name=display_name))

    async def lock(self, user_id: UUID) -> None:
        """Locks the user until the transaction ends: other transactions that lock it wait."""
        await self._executor.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
