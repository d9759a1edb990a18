"""A queue that serves users in turn."""

from collections import deque
from typing import Generic, TypeVar

from commontrace.sharing.shares import served_user

Item = TypeVar("Item")


class RoundRobin(Generic[Item]):
    """Holds items: one of each user in turn is next, each user's in order. Not for several threads at a time."""

    def __init__(self) -> None:
        """Starts with none."""
        self._items: dict[str, deque[Item]] = {}

    def __bool__(self) -> bool:
        return bool(self._items)

    def add(self, item: Item) -> None:
        """Adds an item of the user who is being served."""
        self._items.setdefault(served_user.get(), deque()).append(item)

    @property
    def next(self) -> Item:
        """The item that is next; there is one."""
        return next(iter(self._items.values()))[0]

    def take(self) -> Item:
        """Removes and returns the item that is next; there is one."""
        user, items = next(iter(self._items.items()))
        item = items.popleft()
        del self._items[user]
        if items:
            self._items[user] = items
        return item
