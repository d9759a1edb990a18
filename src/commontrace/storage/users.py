"""Who contributes."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, String, bindparam, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from commontrace.storage.models import User

# Made once: putting a statement together costs more than running it.
_ID_OF = select(User.id).where(User.email == bindparam("email", type_=String))


class UserRow(NamedTuple):
    """A user, as operators see them. `display_name` is empty for one whom nobody has given a name."""

    id: UUID
    email: str
    display_name: str
    created_at: datetime


def name_of(column: str) -> ColumnElement[str]:
    """Returns what the user is called whose id such a column as `votes.voter_id` holds.

    As SQL: SQLAlchemy would add the other table to the query where that stands behind RETURNING.
    """
    return literal_column(f"(SELECT display_name FROM users WHERE users.id = {column})", String)  # noqa: S608 - our names


class UserRepository:
    """Users, by e-mail address."""

    def __init__(self, session: AsyncSession | AsyncConnection) -> None:
        """Takes where to ask."""
        self._session = session

    async def id_of(self, email: str) -> UUID | None:
        """Returns the user's id, or None for an address that never wrote."""
        return (await self._session.execute(_ID_OF, {"email": email})).scalar_one_or_none()

    async def ensure(self, email: str, *, display_name: str = "", is_seed: bool = False) -> UUID:
        """Returns the id of the user with this address, who is created if new; safe against concurrent first writes."""
        known = await self.id_of(email)
        if known is not None:
            return known
        new = insert(User).values(id=uuid4(), email=email, display_name=display_name, is_seed=is_seed)
        await self._session.execute(new.on_conflict_do_nothing(index_elements=[User.email]))
        return (await self._session.execute(_ID_OF, {"email": email})).scalar_one()

    async def rename(self, user_id: UUID, display_name: str) -> None:
        """Gives a user another name."""
        await self._session.execute(update(User).where(User.id == user_id).values(display_name=display_name))

    async def list(self) -> Sequence[UserRow]:
        """Returns all users, by e-mail address."""
        columns = (User.__table__.c[name] for name in UserRow._fields)
        return [UserRow._make(row) for row in await self._session.execute(select(*columns).order_by(User.email))]

    async def hold(self, user_id: UUID) -> None:
        """Makes others who would hold the user wait until the transaction ends."""
        await self._session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
