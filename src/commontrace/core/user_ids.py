"""User id cache: the ids of users who have written, so that a write need not look its caller up."""

from uuid import UUID

from commontrace.storage.unit_of_work import UnitOfWork

_CAPACITY = 10_000


class UserIdCache:
    """Ids by e-mail address. Users are never deleted; only a restored database may lack one.

    A write for such a user fails with ConcurrentChange, as its foreign keys map to it: `forget` before another attempt.
    """

    def __init__(self) -> None:
        self._ids: dict[str, UUID] = {}

    async def get_or_create(self, email: str, work: UnitOfWork) -> UUID:
        """Returns the id of the user, who is created if new."""
        return self._ids.get(email) or await work.users.get_or_create(email)

    def remember(self, email: str, user_id: UUID) -> None:
        """Keeps the id of a user whose transaction has committed."""
        if len(self._ids) >= _CAPACITY:
            self._ids.clear()
        self._ids[email] = user_id

    def forget(self, email: str) -> None:
        """Drops the id of a user."""
        self._ids.pop(email, None)
