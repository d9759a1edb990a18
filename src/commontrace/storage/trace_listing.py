"""Traces in the order of their age."""

from sqlalchemy.ext.asyncio import AsyncConnection


class TraceListing:
    """Finds ids only: rows are fetched for those that fit into the page."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Takes where to ask."""
        self._connection = connection
