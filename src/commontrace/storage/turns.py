"""How much of a connection pool is in use, in numbers."""

from types import TracebackType
from typing import NamedTuple, cast

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool


class PoolState(NamedTuple):
    """A pool that opens at most `size` connections: how many are open, how many in use, how many callers wait."""

    name: str
    size: int
    open: int
    in_use: int
    waiting: int


class Askers:
    """Entered for as long as somebody needs a connection, with one or still without."""

    def __init__(self, name: str, engine: AsyncEngine, size: int) -> None:
        """Takes the pool's name, its engine, and the most connections it opens."""
        self._name = name
        self._size = size
        self._pool = cast("QueuePool", engine.pool)
        self._count = 0

    def __enter__(self) -> None:
        self._count += 1

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._count -= 1

    @property
    def state(self) -> PoolState:
        """Who needs a connection and has none, waits."""
        in_use = self._pool.checkedout()
        return PoolState(
            name=self._name,
            size=self._size,
            open=in_use + self._pool.checkedin(),
            in_use=in_use,
            waiting=max(0, self._count - in_use),
        )
