"""Votes on traces."""

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession


class VoteRepository:
    """The votes: one at most for each trace and voter."""

    def __init__(self, session: AsyncSession | AsyncConnection) -> None:
        """Takes where to ask."""
        self._session = session
