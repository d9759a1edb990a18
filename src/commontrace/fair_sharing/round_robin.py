"""Round-robin scheduling: a queue that serves users in turn."""

from collections import deque
from typing import Generic, TypeVar

from commontrace.fair_sharing.shares import served_user

Item = TypeVar("Item")


class RoundRobin(Generic[Item]):
    """A queue of one item of each user in turn, each user's in order of arrival. Not thread-safe."""

    def __init__(self) -> None:
        self._items: dict[str, deque[Item]] = {}

    def __bool__(self) -> bool:
        return bool(self._items)

    def add(self, item: Item) -> None:
        """Adds an item of the user who is being served."""
        self._items.setdefault(served_user.get(), deque()).append(item)

    @property
    def next(self) -> Item:
        """The next item. The queue must not be empty."""
        return next(iter(self._items.values()))[0]

    def take(self) -> Item:
        """Removes and returns the next item. The queue must not be empty."""
        user, items = next(iter(self._items.items()))
        item = items.popleft()
        del self._items[user]
        if items:
            self._items[user] = items
        return item
